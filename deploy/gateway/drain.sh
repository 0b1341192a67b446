# Lets a pod go without cutting an answer off. The kubelet runs it before SIGTERM.
#
# Envoy answers with `connection: close`, and goes on accepting for --drain-time-s, for those that have not heard yet. The script
# ends when no request is left, or after 280 s.

admin() {
    exec 3<>/dev/tcp/127.0.0.1/9901 || return
    printf '%s HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' "$1" >&3
    cat <&3
    exec 3>&-
}

admin 'POST /drain_listeners?graceful&skip_exit' >/dev/null || exit 0
# Proxies in front of this one need a moment until they know that the pod leaves.
sleep 5
while [ "$SECONDS" -lt 280 ]; do
    # Envoy may have ended by itself.
    left=$(admin 'GET /stats?filter=^http.completions.downstream_rq_active$') || exit 0
    case $left in *'active: 0'*) exit 0 ;; esac
    sleep 1
done
