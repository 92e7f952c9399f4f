import sys

from twisted.internet import reactor

from benchmarks.peers.ours import handler
from wasinet_twisted.server import serve

serve(handler, f"tcp:{sys.argv[1]}:interface=127.0.0.1")
reactor.run()
