#!/bin/sh
# Run as root on a Pi, by `make deploy`, when the checkout has arrived in /opt/sensetig/checkout: from now on its Python
# runs, with the libraries of the version that the playbook has installed. The next playbook goes back to that.
set -eu
link=/opt/sensetig/venv development=/opt/sensetig/development checkout=/opt/sensetig/checkout

base=$(readlink "$link") || { echo "SenseTIG is not installed here; run the playbook first" >&2; exit 1; }
[ "$base" != "$development" ] || base=$(cat "$development/base")
[ -d "$base" ] || { echo "$base is gone, whose libraries this uses; run the playbook again" >&2; exit 1; }

folder() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

[ -x "$development/bin/python" ] || python3 -m venv --system-site-packages --without-pip "$development"
echo "$base" > "$development/base"
# In this order: what is deployed comes before what is installed.
printf '%s\n' "$checkout" "$(folder "$base")" > "$(folder "$development")/sensetig.pth"
printf '#!%s\nfrom sensetig.__main__ import main\n\nmain(prog_name="sensetig")\n' "$development/bin/python" \
    > "$development/bin/sensetig"
chmod 755 "$development/bin/sensetig"
# The services may not write here, and would compile everything at each start.
"$development/bin/python" -m compileall -q "$checkout/collectors" "$checkout/sensetig"

ln -sfn "$development" "$link.new"
mv -T "$link.new" "$link"
# As patterns, since systemctl passes over patterns that match nothing.
systemctl try-restart 'telegraf.servic[e]' 'sensetig-camera.servic[e]'
echo "$("$link/bin/sensetig" --version) runs from $checkout"
