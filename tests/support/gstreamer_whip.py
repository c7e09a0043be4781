"""Run by Debian's own Python: GStreamer's webrtcbin as a WHIP client (RFC 9725), as whipsink does it.

Arguments: URL, token, codec. Tells "answered", "state <connection state>", "restarted", "ended"; takes "end".
"""

import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "vp8": "vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay picture-id-mode=2 "
    "! application/x-rtp,media=video,encoding-name=VP8,payload=96",
    "h264": "openh264enc gop-size=60 complexity=low ! video/x-h264,profile=constrained-baseline "
    "! rtph264pay config-interval=-1 aggregate-mode=zero-latency "
    "! application/x-rtp,media=video,encoding-name=H264,payload=102",
}
PIPELINE = (
    "webrtcbin name=rtc bundle-policy=max-bundle "
    "videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=30/1 ! videoconvert "
    "! {encoder} ! rtc. "
    "audiotestsrc is-live=true wave=sine freq=440 ! audioconvert ! audioresample ! opusenc ! rtpopuspay "
    "! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! rtc."
)


def tell(*words: object) -> None:
    print(*words, flush=True)


class Encoder:
    def __init__(self, url: str, token: str, codec: str) -> None:
        self._url = url
        self._token = token
        self._session = ""
        self._pipeline = Gst.parse_launch(PIPELINE.format(encoder=ENCODERS[codec]))
        self._rtc = self._pipeline.get_by_name("rtc")
        self._rtc.connect("on-negotiation-needed", self._negotiate)
        self._rtc.connect("notify::ice-gathering-state", self._gathered)
        self._rtc.connect("notify::connection-state", self._changed)
        for number in range(2):
            transceiver = self._rtc.emit("get-transceiver", number)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)

    def start(self) -> None:
        self._pipeline.set_state(Gst.State.PLAYING)

    def _negotiate(self, _: Any) -> None:
        promise = Gst.Promise.new_with_change_func(self._offered, None)
        self._rtc.emit("create-offer", None, promise)

    def _offered(self, promise: Any, _: Any) -> None:
        reply = promise.get_reply()  # it owns the offer
        self._rtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _gathered(self, *_: Any) -> None:
        if self._rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            threading.Thread(target=self._post, daemon=True).start()

    def _post(self) -> None:
        if self._session:
            return
        description = self._rtc.get_property("local-description")
        offer = description.sdp.as_text()
        status, headers, text = self._request("POST", self._url, offer.encode())
        if status != 201:
            tell("refused", status, text.strip())
            return
        self._session = urllib.parse.urljoin(self._url, headers["Location"])
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._rtc.emit("set-remote-description", answer, Gst.Promise.new())
        tell("answered")

    def _request(self, method: str, url: str, body: bytes | None = None) -> tuple[int, Any, str]:
        request = urllib.request.Request(url, data=body, method=method)
        request.add_header("Authorization", f"Bearer {self._token}")
        if body is not None:
            request.add_header("Content-Type", "application/sdp")
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def _changed(self, *_: Any) -> None:
        tell("state", self._rtc.get_property("connection-state").value_nick)

    def end(self) -> None:
        tell("ended", self._request("DELETE", self._session)[0])


def main() -> None:
    Gst.init(None)
    encoder = Encoder(*sys.argv[1:4])
    loop = GLib.MainLoop()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == "end":
                encoder.end()
        loop.quit()

    threading.Thread(target=listen, daemon=True).start()
    encoder.start()
    loop.run()


main()
