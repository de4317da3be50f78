#!/bin/sh
# `make deploy` runs this as root on a Pi, after it has copied the checkout to /opt/sensetig/checkout: from now on the
# checkout's Python runs, with the libraries of the installed version. The next run of the playbook undoes that.
set -eu
link=/opt/sensetig/venv development=/opt/sensetig/development checkout=/opt/sensetig/checkout

base=$(readlink "$link") || { echo "SenseTIG is not installed here; run the playbook first" >&2; exit 1; }
[ "$base" != "$development" ] || base=$(cat "$development/base")
[ -d "$base" ] || { echo "$base does not exist any more, and this needs its libraries; run the playbook again" >&2; exit 1; }

folder() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

[ -x "$development/bin/python" ] || python3 -m venv --system-site-packages --without-pip "$development"
echo "$base" > "$development/base"
# In this order: the checkout comes before the installed version.
printf '%s\n' "$checkout" "$(folder "$base")" > "$(folder "$development")/sensetig.pth"
printf '#!%s\nfrom sensetig.__main__ import main\n\nmain(prog_name="sensetig")\n' "$development/bin/python" \
    > "$development/bin/sensetig"
chmod 755 "$development/bin/sensetig"
# The services may not write here, and would otherwise compile everything at each start.
"$development/bin/python" -m compileall -q "$checkout/collectors" "$checkout/sensetig"

ln -sfn "$development" "$link.new"
mv -T "$link.new" "$link"
# As patterns, because systemctl accepts patterns that match nothing.
systemctl try-restart 'telegraf.servic[e]' 'sensetig-camera.servic[e]'
echo "$("$link/bin/sensetig" --version) runs from $checkout"
