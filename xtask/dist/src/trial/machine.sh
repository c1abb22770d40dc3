# Within a virtual machine with Debian: installs the packages, uploads, and purges them.
. /trial/shared.sh
test -z "$(command -v rustc || command -v cargo)"
remember
bpf() {
    bpftool link list | grep --count '^[0-9]' || :
}
test "$(bpf)" = 0

# Seconds since the machine started.
uptime_s() {
    cut --delimiter ' ' --fields 1 /proc/uptime
}
begun=$(uptime_s)
apt-get install --yes ./tracer.deb ./upload-server.deb
installed=$(uptime_s)
systemctl is-active upload-server tracer-uploads
upload cat.png
seen=$(uptime_s)
test "$(bpf)" -gt 0
echo "found: Linux $(uname -r), Debian $(cat /etc/debian_version), $(systemd-detect-virt)"
echo "found: $(echo "$begun $installed $seen" |
    awk '{ printf "%.1f s to install, %.1f s to the timeline of the first upload", $2 - $1, $3 - $1 }')"

apt-get purge --yes tracer upload-server
nothing_is_left
test "$(bpf)" = 0
echo "found: purge: no file, user, process or eBPF program is left"
echo passed
