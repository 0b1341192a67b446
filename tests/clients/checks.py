"""Checks of a running model server with clients that others wrote.

Called by main.rs: checks.py CHECK URL [MORE...]. Ends with 0 when the check holds; otherwise the traceback says what does not.
"""

import asyncio
import json
import pathlib
import sys
import time
import urllib.parse
import urllib.request

import openai
from prometheus_client.parser import text_string_to_metric_families

MODEL = "m"
USER = [{"role": "user", "content": "tell me about trim tabs"}]


def client(url):
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)


def expect(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def get(url, names=()):
    """(content type, text) of a page, with `name[]` for each of `names`. Raises unless the status is 200."""
    query = urllib.parse.urlencode([("name[]", name) for name in names])
    with urllib.request.urlopen(f"{url}?{query}" if query else url, timeout=30) as answer:
        return answer.headers["content-type"], answer.read().decode()


def post(url, body):
    """Text of the answer. Raises unless the status is 200."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def samples(text):
    """{(name, sorted labels): value} of a page."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(page, name, **labels):
    """Sum over the series of `name` that have these labels."""
    found = [v for (n, ls), v in page.items() if n == name and labels.items() <= dict(ls).items()]
    assert found, f"no {name} with {labels}"
    return sum(found)


def whole_and_streamed_answers_agree(url):
    api = client(url)
    whole = api.chat.completions.create(model=MODEL, messages=USER, max_tokens=50, seed=3)
    stream = api.chat.completions.create(
        model=MODEL, messages=USER, max_tokens=50, seed=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert len(text.split()) == whole.usage.completion_tokens == chunks[-1].usage.completion_tokens
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert {c.id for c in chunks} == {chunks[0].id} and chunks[0].id.startswith("chatcmpl-")

    legacy = api.completions.create(model=MODEL, prompt=["one two", "three"], max_tokens=7, extra_body={"ignore_eos": True})
    assert [c.finish_reason for c in legacy.choices] == ["length", "length"]
    assert [len(c.text.split()) for c in legacy.choices] == [7, 7]
    assert legacy.usage.prompt_tokens == 3
    streamed = list(api.completions.create(model=MODEL, prompt="one two", max_tokens=7, stream=True))
    assert "".join(c.choices[0].text for c in streamed) == legacy.choices[0].text

    parts = [{"role": "user", "content": [{"type": "text", "text": USER[0]["content"]}]}]
    as_parts = api.chat.completions.create(model=MODEL, messages=parts, max_completion_tokens=50, seed=3)
    assert as_parts.choices[0].message.content == whole.choices[0].message.content


def some_answers_stop_by_themselves(url):
    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as api:
            calls = (
                api.completions.create(model=MODEL, prompt=f"question {i}", max_tokens=160) for i in range(60)
            )
            return await asyncio.gather(*calls)

    answers = asyncio.run(ask())
    reasons = [a.choices[0].finish_reason for a in answers]
    # The median natural length is 160: about half of them stop.
    assert 15 <= reasons.count("stop") <= 45 and reasons.count("stop") + reasons.count("length") == 60, reasons
    for answer in answers:
        assert (answer.usage.completion_tokens == 160) == (answer.choices[0].finish_reason == "length")


def models_and_adapters(url):
    api = client(url)
    models = {m.id: m for m in api.models.list()}
    assert set(models) == {MODEL, "sql"}
    assert models[MODEL].model_extra["max_model_len"] == 4096
    assert models["sql"].model_extra["parent"] == MODEL
    answer = api.chat.completions.create(model="sql", messages=USER, max_tokens=5)
    assert answer.model == "sql"
    assert "'new' added" in post(f"{url}/v1/load_lora_adapter", {"lora_name": "new", "lora_path": "/a/new"})
    assert api.chat.completions.create(model="new", messages=USER, max_tokens=5).model == "new"
    assert "'new' removed" in post(f"{url}/v1/unload_lora_adapter", {"lora_name": "new"})
    expect(openai.NotFoundError, lambda: api.chat.completions.create(model="new", messages=USER))


def errors_have_the_clients_types(url):
    api = client(url)
    missing = expect(openai.NotFoundError, lambda: api.chat.completions.create(model="gpt", messages=USER))
    assert missing.param == "model" and "gpt" in missing.message
    too_long = expect(openai.BadRequestError, lambda: api.completions.create(model=MODEL, prompt="word " * 5000))
    assert "maximum context length is 4096" in too_long.message and too_long.type == "BadRequestError"
    expect(openai.BadRequestError, lambda: api.chat.completions.create(model=MODEL, messages=[]))


def a_conversation_hits_the_cache_turn_by_turn(url):
    api = client(url)
    messages = [{"role": "system", "content": "rule " * 200}]
    previous = 0
    for turn in range(4):
        messages.append({"role": "user", "content": f"question {turn} " * 20})
        answer = api.chat.completions.create(model=MODEL, messages=messages, max_tokens=40, extra_body={"ignore_eos": True})
        cached = answer.usage.prompt_tokens_details.cached_tokens
        # All full blocks of the last turn's prompt and answer, but for the token whose KV was never computed.
        assert cached == max(previous - 1, 0) // 16 * 16, (turn, cached, previous)
        previous = answer.usage.total_tokens
        messages.append(answer.choices[0].message.model_dump(include={"role", "content"}))


def concurrent_streams_add_up_on_the_page(url):
    async def one(api, place):
        stream = await api.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"{place} " * 100}],
            max_tokens=30,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        return sum([1 async for chunk in stream if chunk.choices[0].delta.content])

    async def many():
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as api:
            return await asyncio.gather(*(one(api, place) for place in range(64)))

    assert asyncio.run(many()) == [30] * 64
    page = samples(get(f"{url}/metrics")[1])
    assert total(page, "vllm:generation_tokens_total") == 64 * 30
    assert total(page, "vllm:prompt_tokens_total") == 64 * 103
    assert total(page, "vllm:request_success_total", finished_reason="length") == 64
    assert total(page, "vllm:request_success_total") == 64
    for histogram in ["time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"]:
        assert total(page, f"vllm:{histogram}_count") == 64, histogram
    assert total(page, "vllm:inter_token_latency_seconds_count") == 64 * 29
    assert total(page, "vllm:request_prompt_tokens_sum") == 64 * 103
    assert total(page, "vllm:num_requests_running") == total(page, "vllm:kv_cache_usage_perc") == 0


def a_closed_stream_is_aborted(url):
    api = client(url)
    stream = api.completions.create(
        model=MODEL, prompt="go", max_tokens=4000, stream=True, extra_body={"ignore_eos": True}
    )
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 10
    while True:
        page = samples(get(f"{url}/metrics")[1])
        if total(page, "vllm:request_success_total", finished_reason="abort") == 1:
            break
        assert time.monotonic() < deadline, "not aborted after 10 s"
        time.sleep(0.02)
    assert total(page, "vllm:num_requests_running") == 0


def described(text):
    """{name on the page: (type, help, labels without le)}"""
    families = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        families[name] = (family.type, family.documentation, labels)
    return families


def the_page_has_vllms_families(url, listed, *real_pages):
    # One request with an adapter, so that the LoRA family has a sample.
    client(url).chat.completions.create(model="sql", messages=USER, max_tokens=5)
    ours = described(get(f"{url}/metrics")[1])
    lines = [line.split() for line in pathlib.Path(listed).read_text().splitlines() if not line.startswith("#")]
    wanted = {name: (kind, set(labels)) for kind, name, *labels in lines}
    assert set(ours) == set(wanted), set(ours) ^ set(wanted)
    for name, (kind, labels) in wanted.items():
        assert ours[name][0] == kind, (name, ours[name])
        exact = name != "vllm:cache_config_info"
        assert ours[name][2] == labels if exact else ours[name][2] >= labels, (name, ours[name])
    for path in real_pages:
        compare_with_real(ours, pathlib.Path(path))


def compare_with_real(ours, path):
    """What a real page and ours have in common must be of one type; on a V1 page (label `engine`) also of one text and label set."""
    real = {name: family for name, family in described(path.read_text()).items() if name.startswith("vllm:")}
    common = sorted(real.keys() & ours.keys())
    assert len(common) >= 4, f"{path.name}: only {common} in common"
    engine = {name for name, (_, _, labels) in real.items() if "engine" in labels}
    for name in common:
        if name == "vllm:cache_config_info":
            continue
        if name in engine:
            assert real[name] == ours[name], (path.name, name, real[name], ours[name])
        else:
            assert real[name][0] in (ours[name][0], "unknown"), (path.name, name, real[name], ours[name])
            assert real[name][2] <= ours[name][2], (path.name, name, real[name], ours[name])
    if engine:
        assert set(common) >= engine, f"{path.name}: {engine - set(common)} is missing here"


def names_select_samples(url):
    names = ["vllm:num_requests_waiting", "vllm:request_queue_time_seconds_sum", "vllm:prompt_tokens_total", "absent"]
    kind, selected = get(f"{url}/metrics/", names)
    assert kind.startswith("text/plain")
    assert {name for name, _ in samples(selected)} == set(names) - {"absent"}
    assert len(selected) < 1500
    _, ignored = get(f"{url}/metrics", names)
    assert len(samples(ignored)) > 200


def a_multi_process_page_cannot_be_selected_from(url):
    assert get(f"{url}/metrics/", ["vllm:num_requests_waiting"])[1] == ""
    assert "vllm:num_requests_waiting" in {name for name, _ in samples(get(f"{url}/metrics/")[1])}


def the_full_page_parses(url):
    client(url).completions.create(model=MODEL, prompt="x", max_tokens=3)
    _, text = get(f"{url}/metrics")
    families = described(text)
    for family in ["python_info", "process_cpu_seconds_total", "http_requests_total", "http_request_duration_seconds"]:
        assert family in families, family
    assert "vllm:num_preemptions_created" in families
    page = samples(text)
    assert total(page, "http_requests_total", handler="/v1/completions", status="2xx") == 1
    # A bucket at infinity counts everything, on every histogram.
    for (name, labels), value in page.items():
        if name.endswith("_bucket") and ("le", "+Inf") in labels:
            rest = tuple(label for label in labels if label[0] != "le")
            assert value == page[(name.removesuffix("_bucket") + "_count", rest)], name


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
