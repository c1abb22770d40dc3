# What the steps share. Each command that fails ends them; where none did, the last line is `passed`.
set -eux
cd /trial

# Sets the state to compare with at the end.
remember() {
    files >/tmp/before-files
    getent passwd >/tmp/before-users
    getent group >/tmp/before-groups
}

# Fails where anything differs from the state that was remembered.
nothing_is_left() {
    files | diff /tmp/before-files -
    getent passwd | diff /tmp/before-users -
    getent group | diff /tmp/before-groups -
    test -z "$(pidof tracer upload-server)"
}

# All but what the system itself writes.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /trial -o -path /var/log \
        -o -path /var/cache -o -path /var/tmp -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/rpm -o -path /root/.rpmdb \
        \) -prune -o -print | sort
}

# Uploads a file: its page has a timeline once the tracer has handed it in, which is an event.
upload() {
    mkfifo /tmp/events
    curl --silent --no-buffer --max-time 300 http://127.0.0.1:5000/events >/tmp/events &
    events=$!
    exec 3</tmp/events
    grep --quiet --max-count 1 '"attached":true' <&3
    head -c 3000000 /dev/urandom >/tmp/upload
    page=$(curl --fail --silent --show-error --upload-file /tmp/upload "http://127.0.0.1:5000/$1" |
        grep --only-matching '/t/[0-9A-Za-z_-]*')
    cmp /tmp/upload "/var/lib/upload-server/uploads/$1"
    grep --quiet --max-count 1 '^event: timeline' <&3
    exec 3<&-
    kill $events
    rm /tmp/events
    curl --fail --silent "http://127.0.0.1:5000$page.json" | grep --quiet '"initiation"'
}

# Starts an upload that takes some seconds, and waits until the server takes its body. $1: name, $2: URL, $3…: for curl.
begin_slow_upload() {
    name=$1
    url=$2
    shift 2
    head -c 3000000 /dev/urandom >"/tmp/$name"
    mkfifo /tmp/begun
    curl --fail --silent --verbose --limit-rate 500k --write-out '%{http_code}' --output /dev/null "$@" \
        --upload-file "/tmp/$name" "$url/$name" 2>/tmp/begun >"/tmp/$name-status" &
    slow=$!
    exec 4</tmp/begun
    grep --quiet --max-count 1 '100 Continue' <&4
    cat <&4 >/dev/null &
    exec 4<&-
    rm /tmp/begun
}

# The upload that was begun is stored, whole.
end_slow_upload() {
    wait $slow
    test "$(cat "/tmp/$name-status")" = 201
    cmp "/tmp/$name" "/var/lib/upload-server/uploads/$name"
}

# Waits until the journal of a unit has these words.
await_log() {
    mkfifo /tmp/journal
    timeout 60 journalctl --follow --lines=all --unit "$1" >/tmp/journal &
    grep --quiet --max-count 1 "$2" </tmp/journal
    rm /tmp/journal
}

main_pid() {
    systemctl show --property MainPID --value "$1"
}
