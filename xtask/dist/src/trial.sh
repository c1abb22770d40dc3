#!/bin/sh
# Within Debian, with systemd as the first process: installs the packages, uploads, and purges them. Each command that
# fails ends it; where none did, there is /trial/passed.
set -eux
cd /trial
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /trial -o -path /var/log \
        -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd/deb-systemd-helper-enabled \) \
        -prune -o -print | sort
}
files >/tmp/files-before
getent passwd >/tmp/users-before
getent group >/tmp/groups-before

apt-get install --yes ./tracer.deb ./upload-server.deb
systemctl is-active upload-server
systemctl is-active tracer-uploads
test "$(systemctl is-active tracer)" = inactive

# The page of an upload has its timeline once the tracer has handed it in, which is an event.
mkfifo /tmp/events
timeout 30 curl --silent --no-buffer http://127.0.0.1:5000/events >/tmp/events &
exec 3</tmp/events
head -c 3000000 /dev/urandom >/tmp/upload
page=$(curl --fail --silent --show-error --upload-file /tmp/upload http://127.0.0.1:5000/cat.png |
    grep --only-matching '/t/[0-9A-Za-z_-]*')
cmp /tmp/upload /var/lib/upload-server/uploads/cat.png
grep --quiet --max-count 1 '^event: timeline' <&3
exec 3<&-
curl --fail --silent "http://127.0.0.1:5000$page.json" | grep '"initiation"'

# All that traces has dropped its capabilities.
for pid in $(pidof tracer); do
    grep -q 'CapEff:.0000000000000000' /proc/"$pid"/status
done
systemctl start tracer
systemctl is-active tracer
systemctl restart upload-server
systemctl is-active upload-server
# It is restarted with the server: this waits for it.
systemctl start tracer-uploads
systemctl is-active tracer-uploads

apt-get purge --yes tracer upload-server
files | diff /tmp/files-before -
getent passwd | diff /tmp/users-before -
getent group | diff /tmp/groups-before -
test -z "$(pidof tracer upload-server)"
touch /trial/passed
