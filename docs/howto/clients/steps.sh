# What is done with each client, where "$@" names it; tests/functional/test_howto_clients.py runs it for all of them.
# [detect]
mcpgateway clients detect
mcpgateway clients plan "$@"
# [apply]
mcpgateway clients apply "$@"
# [look]
mcpgateway clients list
mcpgateway status --health
# [undo]
mcpgateway clients undo "$@"
