# Within a container of Debian's, with rpm: installs the packages, uses their services and removes them. Fedora's presets
# are those of its policy: nothing is enabled that the distribution did not choose.
. /trial/shared.sh
mkdir --parents /etc/systemd/system-preset
echo 'disable *' >/etc/systemd/system-preset/99-default-disable.preset
# As where these shells are installed.
mkdir --parents /usr/share/fish/vendor_completions.d /usr/share/zsh/site-functions
remember

# Debian's dpkg knows nothing of what rpm would depend on.
rpm --install --nodeps --force-debian tracer.rpm upload-server.rpm
rpm --verify --nodeps tracer upload-server
for unit in upload-server tracer-uploads tracer; do
    test "$(systemctl is-enabled $unit)" = disabled
    test "$(systemctl is-active $unit)" = inactive
done
getent passwd upload-server
systemctl enable --now upload-server tracer-uploads
systemctl is-active upload-server tracer-uploads
upload cat.png
pid=$(main_pid upload-server)
rpm --upgrade --nodeps --force-debian --force tracer.rpm upload-server.rpm
test "$(main_pid upload-server)" != "$pid"
systemctl start tracer-uploads
upload dog.png
echo "found: rpm: installed, disabled as the preset wants, enabled, used, installed again, used"

rpm --erase tracer upload-server
test -z "$(pidof tracer upload-server)"
# As Fedora's guidelines have it, users and what services keep stay: both go by hand.
files | diff /tmp/before-files - | grep '^[<>]' | grep --invert-match '^> /var/lib/upload-server' && false
getent passwd | diff /tmp/before-users - | grep '^[<>]' | grep --invert-match '^> upload-server:' && false
userdel upload-server
rm -r /var/lib/upload-server
nothing_is_left
echo "found: rpm: erased; the user and /var/lib/upload-server stay, and nothing else"
echo passed
