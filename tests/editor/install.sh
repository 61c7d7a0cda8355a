#!/bin/sh
# Install a VS Code that runs without a screen: sh tests/editor/install.sh FOLDER
# It is code-server, whose page a browser shows; extensions run in it as they do in the desktop's.
set -eu
quietly="--no-audit --no-fund --loglevel=error"
gyp=$(npm root --global)/npm/node_modules/node-gyp/bin/node-gyp.js
mkdir -p "$1/cs"
cd "$1"
whole=$PWD/.installed
npm init --yes >/dev/null
npm install $quietly node@24.21.0
PATH=$PWD/node_modules/node/bin:$PATH
# Scripts of packages would compile modules that are not missed.
cd cs
npm init --yes >/dev/null
npm install $quietly --ignore-scripts code-server@4.139.1
cd node_modules/code-server/lib/vscode
npm install $quietly --ignore-scripts --omit=dev
cd extensions
npm install $quietly --ignore-scripts --omit=dev
cd ../node_modules/@vscode/spdlog
# Log channels are empty without it. Its interface is the same in all releases of Node.js, so the headers of any will do.
if test -e /usr/include/node/node_api.h -a -e "$gyp"; then
	node "$gyp" rebuild --nodedir=/usr >build.log 2>&1 || echo "Log channels stay empty: spdlog is not compiled" >&2
fi
touch "$whole"
