#!/usr/bin/env bash
# Lints proto/ (or the folder given) with the pinned buf; exits non-zero on findings. The first run, and every run
# after a change of package-lock.json, installs buf into node_modules beside this script.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
proto=$(cd "${1:-$here/../../proto}" && pwd)
stamp=$here/node_modules/.installed-from

install_buf() {
  # Two test runs may start at once; the second one finds the work done.
  exec 9>"$here/.install.lock"
  flock 9
  if ! cmp -s "$here/package-lock.json" "$stamp"; then
    # buf's install script only warms up its start; it works without, so none is run.
    (cd "$here" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
    cp "$here/package-lock.json" "$stamp"
  fi
  exec 9>&-
}

if ! cmp -s "$here/package-lock.json" "$stamp"; then install_buf; fi

cd "$proto"
"$here/node_modules/.bin/buf" lint
echo "buf lint: no findings in $(find . -name '*.proto' | wc -l) files"
