//! WebSocket by the client and the server of Python's `websockets`, through the gateway.

use ringway_tests::{Api, Gateway, Port, tool};

/// Serves on port 1, asks at URL 2, tells what both saw.
const SCRIPT: &str = r#"
import asyncio, json, logging, sys, websockets
logging.disable(logging.CRITICAL)
port, url = int(sys.argv[1]), sys.argv[2]
seen = []

async def serve(socket, path=None):
    # The attribute has moved between versions of the package.
    holder = socket if hasattr(socket, "extensions") else socket.protocol
    extensions = [type(extension).__name__ for extension in holder.extensions]
    seen.append([socket.subprotocol, extensions])
    async for message in socket:
        await socket.send(message)

async def main():
    async with websockets.serve(serve, "127.0.0.1", port, subprotocols=["v2.test", "v1.test"], max_size=None):
        for compression in ("deflate", None):
            async with websockets.connect(url, subprotocols=["v1.test"], compression=compression, max_size=None) as socket:
                assert socket.subprotocol == "v1.test", socket.subprotocol
                for message in ("hello", b"\x00\x01", "ä" * 1000, b"x" * 5_000_000, ""):
                    await socket.send(message)
                    back = await asyncio.wait_for(socket.recv(), 20)
                    assert back == message, (len(back), len(message))
                pong = await socket.ping()
                await asyncio.wait_for(pong, 20)
        async def one(number):
            async with websockets.connect(url, subprotocols=["v2.test"]) as socket:
                for step in range(20):
                    await socket.send(f"{number}-{step}")
                    assert await asyncio.wait_for(socket.recv(), 20) == f"{number}-{step}"
        await asyncio.gather(*(one(number) for number in range(50)))
    print(json.dumps(seen[:2]), len(seen))

asyncio.run(main())
"#;

#[test]
fn subprotocol_extensions_messages_and_pings_pass_untouched() {
    let port = Port::new();
    let gateway = Gateway::serving(&[Api::proxy("/ws/", &format!("http://{}/inner", port.address()))]);
    let url = format!("ws://{}/ws/room", gateway.http());
    let said = tool::python(SCRIPT, &[&port.number().to_string(), &url]).ok();
    assert_eq!(said.trim(), r#"[["v1.test", ["PerMessageDeflate"]], ["v1.test", []]] 52"#);
}
