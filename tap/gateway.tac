"""The gateway as an application file: ``twistd -noy tap/gateway.tac``.

Copy it to serve several gateways from one process manager, or to choose options in Python.
"""

from twisted.application.service import Application

from mcpgateway.tap import Options, makeService

options = Options()
options.parseOptions([])  # the words that would follow `twistd mcpgateway`, such as ["--port", "9100"]

application = Application("mcpgateway")
makeService(options).setServiceParent(application)
