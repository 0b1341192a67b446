"""Sends bursts of streamed completions and holds the predicted waits against the seen ones.

For real engines behind Envoy with deploy/envoy: the setting `explain_header` must be as it is there. Three kinds of bursts, each as
often as asked for: `slots` (short prompts, long answers: more requests than the servers' batches take), `prefill` (long prompts, short
answers) and `both`. Only the standard library is needed.

    python3 benches/clients/bursts.py http://127.0.0.1:8080 --model small
"""

import argparse
import http.client
import json
import random
import statistics
import threading
import time
import urllib.parse

WORDS = "the quick brown fox jumps over a lazy dog while load is balanced for inference".split()
# Words of the prompt and tokens of the answer.
KINDS = {"slots": (8, 200), "prefill": (700, 4), "both": (300, 100)}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="where the proxy listens, such as http://127.0.0.1:8080")
    parser.add_argument("--model", required=True, help="name of the model that is asked for")
    parser.add_argument("--requests", type=int, default=40, help="of a burst (default 40)")
    parser.add_argument("--rounds", type=int, default=3, help="bursts of each kind (default 3)")
    parser.add_argument("--gap", type=float, default=0.05, help="seconds between two requests (default 0.05)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"which of {', '.join(KINDS)} (default all)")
    parser.add_argument("--seed", type=int, default=1, help="decides the words of the prompts (default 1)")
    asked = parser.parse_args()
    unknown = [kind for kind in asked.kinds.split(",") if kind not in KINDS]
    if unknown:
        parser.error(f"--kinds: {unknown[0]!r} is none of {', '.join(KINDS)}")
    return asked


def ask(asked, prompt, max_tokens, done):
    """One request; adds (endpoint, predicted seconds, seen seconds) to `done`, or why there is none."""
    to = urllib.parse.urlsplit(asked.url)
    body = {"model": asked.model, "prompt": prompt, "max_tokens": max_tokens, "stream": True, "ignore_eos": True}
    start = time.monotonic()
    try:
        connection = http.client.HTTPConnection(to.hostname, to.port or 80, timeout=600)
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        told = dict(part.split("=", 1) for part in answer.getheader("x-trimtab-decision", "").split("; ") if "=" in part)
        first_s = None
        for line in answer:
            if first_s is None and b'"text"' in line:
                first_s = time.monotonic() - start
        if answer.status != 200 or first_s is None:
            done.append((f"status {answer.status}", None, None))
            return
        wait_ms = told.get("wait_ms")
        done.append((told.get("endpoint", "?"), None if wait_ms is None else int(wait_ms) / 1e3, first_s))
    except (OSError, http.client.HTTPException) as error:
        done.append((str(error), None, None))


def burst(asked, name, words, max_tokens):
    done, threads = [], []
    for _ in range(asked.requests):
        prompt = f"{random.random()} " + " ".join(random.choice(WORDS) for _ in range(words))
        thread = threading.Thread(target=ask, args=(asked, prompt, max_tokens, done))
        thread.start()
        threads.append(thread)
        time.sleep(asked.gap)
    for thread in threads:
        thread.join()
    good = [one for one in done if one[2] is not None]
    shares = {endpoint: sum(one[0] == endpoint for one in good) for endpoint in sorted({one[0] for one in good})}
    failed = sorted({one[0] for one in done if one[2] is None})
    known = [(predicted, seen) for _, predicted, seen in good if predicted is not None]
    if not known:
        print(f"{name}: nothing was predicted; failed: {failed}")
        return
    off = statistics.median(abs(predicted - seen) / seen for predicted, seen in known)
    off_s = statistics.median(abs(predicted - seen) for predicted, seen in known)
    print(
        f"{name}: {' : '.join(map(str, shares.values()))} requests per server; first token after "
        f"{statistics.mean(seen for _, seen in known):.1f} s (at most {max(seen for _, seen in known):.1f}), predicted "
        f"{statistics.mean(predicted for predicted, _ in known):.1f}; off by {100 * off:.0f} %, {off_s:.2f} s (medians)"
        + (f"; failed: {len(done) - len(good)} {failed}" if failed else ""),
        flush=True,
    )


def main():
    asked = arguments()
    random.seed(asked.seed)
    for kind in asked.kinds.split(","):
        for number in range(asked.rounds):
            burst(asked, f"{kind} {number + 1}", *KINDS[kind])
            time.sleep(3)


if __name__ == "__main__":
    main()
