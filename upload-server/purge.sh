#!/bin/sh
set -e

#DEBHELPER#

# The files that were uploaded, and the history; then the user that systemd-sysusers made.
if [ "$1" = purge ]; then
    rm -rf /var/lib/upload-server
    if getent passwd upload-server >/dev/null; then
        userdel upload-server
    fi
fi
