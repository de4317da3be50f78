#!/bin/sh
# SenseTIG: lets the hub in, and tells it that this Pi is here. It holds a token that is used up by that.
set -eu
umask 077
exec </dev/null

put() { # PATH MODE CONTENT
    mkdir -p "${1%/*}"
    printf '%s' "$3" | base64 -d >"$1"
    chmod "$2" "$1"
}

# Its name.
echo '@DEVICE@' >/etc/hostname
chmod 644 /etc/hostname
if grep -q '^127\.0\.1\.1' /etc/hosts; then
    sed -i 's/^127\.0\.1\.1.*/127.0.1.1\t@DEVICE@/' /etc/hosts
else
    printf '127.0.1.1\t@DEVICE@\n' >>/etc/hosts
fi
hostname '@DEVICE@' || true

# The account by which the hub comes in: with the hub's key, and without a password.
id sensetig >/dev/null 2>&1 || useradd --create-home --shell /bin/bash sensetig
put /home/sensetig/.ssh/authorized_keys 600 '@HUB_KEY@'
chown -R sensetig: /home/sensetig/.ssh
chmod 700 /home/sensetig/.ssh
echo 'sensetig ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/sensetig
chmod 440 /etc/sudoers.d/sensetig

# Its own host keys, and ssh.
ssh-keygen -A
systemctl enable ssh.service

# What tells the hub, as soon as there is a network, and until it has been heard.
chmod 755 /usr/local/lib
put /usr/local/lib/sensetig-enrol/enrol.py 644 '@PROGRAM@'
put /usr/local/lib/sensetig-enrol/authority.crt 644 '@AUTHORITY@'
put /usr/local/lib/sensetig-enrol/settings.json 644 '@SETTINGS@'
put /usr/local/lib/sensetig-enrol/token 600 '@TOKEN@'
chmod 755 /usr/local/lib/sensetig-enrol
put /etc/systemd/system/sensetig-enrol.service 644 '@UNIT@'
systemctl daemon-reload
systemctl enable sensetig-enrol.service
systemctl start --no-block ssh.service sensetig-enrol.service

# Raspberry Pi OS 12 runs this from its boot partition, once.
for boot in /boot/firmware /boot; do
    if [ -e "$boot/firstrun.sh" ]; then
        rm -f "$boot/firstrun.sh"
        sed -i 's| systemd\.run[^ ]*||g; s| systemd\.unit=kernel-command-line\.target||' "$boot/cmdline.txt"
        break
    fi
done
rm -f /var/lib/sensetig-first-boot/firstrun.sh
