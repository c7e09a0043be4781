"""FFmpeg's own WHIP client (its "whip" format, by PyAV): a red picture in H.264 and a tone of 440 Hz, in real time,
until standard input ends. Further arguments are options of the format.

    python ffmpeg_whip.py URL authorization=TOKEN dtls_active=1
"""

import select
import sys
import time

import av
from av.filter import Graph

RATE, FPS = 48_000, 25


def source(name: str, parameters: str, form: str, wanted: str) -> Graph:
    graph = Graph()
    first, middle, last = (
        graph.add(name, parameters),
        graph.add(form, wanted),
        graph.add("abuffersink" if form == "aformat" else "buffersink"),
    )
    first.link_to(middle)
    middle.link_to(last)
    graph.configure()
    return graph


def main(url: str, *options: str) -> None:
    av.logging.restore_default_callback()
    named = dict(option.split("=", 1) for option in options)
    with av.open(url, "w", format="whip", options=named) as output:
        video = output.add_stream("libx264", rate=FPS)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"profile": "baseline", "tune": "zerolatency", "g": str(FPS), "bf": "0"}
        audio = output.add_stream("libopus", rate=RATE)
        assert isinstance(audio, av.AudioStream)
        audio.layout = "stereo"
        pictures = source("color", f"color=red:size=320x240:rate={FPS}", "format", "pix_fmts=yuv420p")
        sounds = source(
            "sine",
            f"frequency=440:sample_rate={RATE}:samples_per_frame=960",
            "aformat",
            "sample_fmts=s16:channel_layouts=stereo",
        )
        began, seen, heard = time.monotonic(), 0.0, 0.0
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            elapsed = time.monotonic() - began
            while seen <= elapsed:
                picture = pictures.pull()
                assert isinstance(picture, av.VideoFrame)
                output.mux(video.encode(picture))
                seen = picture.time or 0.0
            while heard <= elapsed:
                sound = sounds.pull()
                assert isinstance(sound, av.AudioFrame)
                output.mux(audio.encode(sound))
                heard = sound.time or 0.0


main(*sys.argv[1:])
