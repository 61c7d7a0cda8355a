#!/bin/sh
# Install a VS Code that runs without a screen: sh tests/editor/install.sh FOLDER
# It is code-server, whose page a browser shows; extensions run in it as they do in the desktop's.
set -eu
quietly="--no-audit --no-fund --loglevel=error"
mkdir -p "$1/cs"
cd "$1"
npm init --yes >/dev/null
npm install $quietly node@24.21.0
PATH=$PWD/node_modules/node/bin:$PATH
# Nothing is compiled: the modules that extensions need are there already, and the others are not missed.
cd cs
npm init --yes >/dev/null
npm install $quietly --ignore-scripts code-server@4.139.1
cd node_modules/code-server/lib/vscode
npm install $quietly --ignore-scripts --omit=dev
cd extensions
npm install $quietly --ignore-scripts --omit=dev
