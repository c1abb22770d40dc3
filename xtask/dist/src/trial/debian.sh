# Within a container of Debian's: installs the packages, uses their services in every way, upgrades them while an upload is
# under way, and purges them.
. /trial/shared.sh
remember

apt-get install --yes ./tracer.deb ./upload-server.deb
systemctl is-active upload-server tracer-uploads
test "$(systemctl is-active tracer)" = inactive
upload cat.png
# Whatever traces has dropped its capabilities, once it is attached.
for pid in $(pidof tracer); do
    grep --quiet 'CapEff:.0000000000000000' "/proc/$pid/status"
done
systemctl start tracer
systemctl is-active tracer
systemctl stop tracer

# Reload: an open connection stays, and the next one gets the renewed certificate.
identity() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -out /run/identity/cert.pem -keyout /run/identity/key.pem
    chown upload-server /run/identity/*.pem
}
mkdir /run/identity /run/systemd/system/upload-server.service.d
identity
cat >/run/systemd/system/upload-server.service.d/trial.conf <<'UNIT'
[Service]
ExecStart=
ExecStart=upload-server --dir /var/lib/upload-server/uploads --cert /run/identity/cert.pem --key /run/identity/key.pem
UNIT
systemctl daemon-reload
systemctl restart upload-server
pid=$(main_pid upload-server)
cp /run/identity/cert.pem /run/former.pem
begin_slow_upload reload.bin https://localhost:5000 --cacert /run/former.pem
identity
systemctl reload upload-server
await_log upload-server 'the certificate as it is now'
curl --fail --silent --cacert /run/identity/cert.pem https://localhost:5000/healthz
test "$(curl --silent --cacert /run/former.pem https://localhost:5000/healthz || echo refused)" = refused
end_slow_upload
test "$(main_pid upload-server)" = "$pid"
echo "found: reload: a renewed certificate, the same process, an upload under way completed"

# Watchdog: a service that answers stays, one that is stopped (SIGSTOP) is started anew.
for unit in upload-server tracer-uploads; do
    mkdir --parents /run/systemd/system/$unit.service.d
    printf '[Service]\nWatchdogSec=2\n' >/run/systemd/system/$unit.service.d/trial.conf
done
systemctl daemon-reload
systemctl restart upload-server
systemctl start tracer-uploads
pids="$(main_pid upload-server) $(main_pid tracer-uploads)"
begin_slow_upload watchdog.bin http://localhost:5000
end_slow_upload
test "$(main_pid upload-server) $(main_pid tracer-uploads)" = "$pids"
for unit in tracer-uploads upload-server; do
    kill -s STOP "$(main_pid $unit)"
    await_log $unit 'Watchdog timeout'
    await_log $unit 'restart counter is at 1'
    # A unit that starts is waited for.
    systemctl start upload-server tracer-uploads
    systemctl is-active upload-server tracer-uploads
done
upload after-watchdog.bin
echo "found: watchdog: both services live through six seconds at WatchdogSec=2, and are started anew where they stop"
rm -r /run/systemd/system/*.service.d
systemctl daemon-reload
systemctl restart upload-server
systemctl start tracer-uploads

# Upgrade: the upload under way is completed by the server that took it, the next one by the new server.
for program in tracer upload-server; do
    dpkg-deb --raw-extract $program.deb /tmp/next
    sed --in-place 's/^Version: .*/&+next/' /tmp/next/DEBIAN/control
    dpkg-deb --build --root-owner-group /tmp/next /tmp/next-$program.deb
    rm -r /tmp/next
done
pid=$(main_pid upload-server)
begin_slow_upload upgrade.bin http://localhost:5000
apt-get install --yes /tmp/next-tracer.deb /tmp/next-upload-server.deb
end_slow_upload
dpkg-query --show tracer upload-server | grep --count '+next$' | grep '^2$'
test "$(main_pid upload-server)" != "$pid"
systemctl start tracer-uploads
systemctl is-active upload-server tracer-uploads
upload after-upgrade.bin
echo "found: upgrade: the upload under way completed, and the next one got its timeline"

# Stop: both, and the control socket is gone.
systemctl stop upload-server
test "$(systemctl is-active tracer-uploads)" = inactive
test ! -e /run/upload-server
test "$(systemctl show --property Result --value upload-server tracer-uploads | sort --unique | tr -d '\n')" = success
systemctl start upload-server
systemctl start tracer-uploads

for unit in upload-server tracer-uploads tracer; do
    echo "found: $(systemd-analyze security --no-pager $unit | grep --only-matching 'Overall exposure.*: [0-9.]*')"
done

apt-get purge --yes tracer upload-server
rm -r /run/identity
nothing_is_left
echo "found: purge: no file, user or process is left"
echo passed
