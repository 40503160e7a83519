//! Clients of another make: `paho` on the broker's other side, `websockets` on the gateway's.

use ringway_tests::{Gateway, Mosquitto, tool};
use serde_json::{Value, json};

use super::{api, post, shared, stream, until};

/// Publishes with properties, and waits for what the gateway publishes.
const PAHO: &str = "import json, sys
import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
client = mqtt.Client(client_id='paho', protocol=mqtt.MQTTv5)
def on_subscribe(client, userdata, mid, reasons, properties=None):
    own = Properties(PacketTypes.PUBLISH)
    own.UserProperty = ('X-From', 'paho')
    own.ContentType = 'text/plain'
    for number in range(3):
        client.publish('to/gateway', f'from paho {number}', qos=1, properties=own)
def on_message(client, userdata, message):
    print(json.dumps({'topic': message.topic, 'qos': message.qos, 'content': message.payload.decode(),
                      'user': dict(message.properties.UserProperty), 'type': message.properties.ContentType}))
    client.disconnect()
client.on_subscribe, client.on_message = on_subscribe, on_message
client.connect('127.0.0.1', int(sys.argv[1]))
client.subscribe('to/paho', qos=1)
client.loop_forever()";

#[test]
fn paho_and_the_gateways_clients_hear_each_other_with_properties_and_headers() {
    let mosquitto = Mosquitto::start();
    let entrypoints = json!([
        { "type": "sse", "configuration": { "headersAsComment": true } },
        { "type": "http-post", "configuration": { "requestHeadersToMessage": true } }
    ]);
    let mut api = api(json!({}), &mosquitto).with("listeners/0/entrypoints", entrypoints);
    api = shared(shared(api, "consumer/topic", json!("to/gateway")), "producer/topic", json!("to/paho"));
    let gateway = Gateway::serving(&[api]);
    let mut client = stream(&gateway);
    let paho = tool::spawn("/usr/bin/python3", ["-c", PAHO, &mosquitto.address().port().to_string()]);
    let heard = until(&mut client, "data: from paho 2\n");
    for number in 0..3 {
        assert!(heard.contains(&format!("data: from paho {number}\n")), "{heard}");
    }
    assert!(heard.contains(":X-From=paho\n") && heard.contains(":Content-Type=text/plain\n"), "{heard}");
    assert_eq!(post(&gateway, "X-From: gateway\r\nContent-Type: text/x-test\r\n", "for paho").0.status(), 202);
    let said: Value = serde_json::from_str(&tool::wait(paho).ok()).unwrap();
    assert_eq!((&said["topic"], &said["qos"], &said["content"]), (&json!("to/paho"), &json!(1), &json!("for paho")));
    assert_eq!((&said["user"]["X-From"], &said["type"]), (&json!("gateway"), &json!("text/x-test")));
}

/// Hears what it says, the same and of the same kind, and closes behind one more.
const WEBSOCKETS: &str = "import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as socket:
        for size in (1_000, 100_000):
            for message in ('x' * size, b'x' * size):
                await socket.send(message)
                heard = await asyncio.wait_for(socket.recv(), 20)
                assert heard == message, (type(message), size, type(heard), len(heard))
        await socket.send(b'last')
    print(socket.close_code)
asyncio.run(main())";

#[test]
fn a_web_sockets_client_hears_its_own_texts_and_bytes_as_what_they_were_and_closes_in_peace() {
    let mosquitto = Mosquitto::start();
    mosquitto.register("other", "t");
    let gateway = Gateway::serving(&[api(json!({ "type": "websocket" }), &mosquitto)]);
    let url = format!("ws://{}/", gateway.http());
    assert_eq!(tool::python(WEBSOCKETS, &[&url]).ok(), "1000\n");
    let kinds = ["", "application/octet-stream"];
    let mut wanted: Vec<String> =
        [1_000, 100_000].iter().flat_map(|size| kinds.map(|kind| format!("{kind} {size}"))).collect();
    wanted.push("application/octet-stream 4".to_owned());
    assert_eq!(mosquitto.collect("other", "t", 5, "%C %l"), wanted);
}
