"""Tell Home Assistant, or whoever listens to MQTT: mqtt_notifier.py SERVER BROKER[:PORT] "Tell me when ..." [CAMERA]

SERVER is the address that `vigil serve` prints, with its token; CAMERA is a name given to `vigil serve --camera`,
without one the bundled clip is watched. Needs `pip install paho-mqtt`. Home Assistant finds the sensor by itself:
its state is what was said last, and it is unavailable while this program does not run.
"""

import json
import sys

from vigil.client import Camera, Notice, Upload, connect
from vigil.types import Done

STATE, ONLINE = "vigil/{}/said", "vigil/{}/online"


def discovery(name: str) -> tuple[str, str]:
    """Topic and payload by which Home Assistant learns of the sensor."""
    config = {
        "name": f"vigil {name}",
        "unique_id": f"vigil_{name}",
        "state_topic": STATE.format(name),
        "value_template": "{{ value_json.text }}",
        "json_attributes_topic": STATE.format(name),
        "availability_topic": ONLINE.format(name),
    }
    return f"homeassistant/sensor/vigil_{name}/config", json.dumps(config)


def main(server: str, broker: str, watch_for: str, source: Camera | Upload) -> None:
    """Publish each alert, and whether this program is there, until the source has ended."""
    import paho.mqtt.client as mqtt

    name = source.name if isinstance(source, Camera) else "demo"
    host, _, port = broker.partition(":")
    bus = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"vigil-{name}")
    bus.will_set(ONLINE.format(name), "offline", qos=1, retain=True)
    bus.connect(host, int(port or 1883))
    bus.loop_start()
    for topic, payload in (discovery(name), (ONLINE.format(name), "online")):
        bus.publish(topic, payload, qos=1, retain=True)
    with connect(server) as client, client.session(source) as session:
        session.ask(watch_for, standing=True)
        for event in session:
            if isinstance(event, Done) and event.status == "final":
                said = {"text": event.text.strip()[:255], "time_s": event.time_s, "session": session.id}
                bus.publish(STATE.format(name), json.dumps(said), qos=1, retain=True).wait_for_publish(30)
            elif isinstance(event, Notice) and event.kind == "source.ended":
                session.close(drain=True)
    bus.publish(ONLINE.format(name), "offline", qos=1, retain=True).wait_for_publish(30)
    bus.disconnect()
    bus.loop_stop()


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:4], source=Camera(sys.argv[4]) if len(sys.argv) == 5 else Upload("demo"))
