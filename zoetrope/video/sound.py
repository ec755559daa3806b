"""The sound of one file on its way into another: copied where the container takes its codec, otherwise encoded anew.

Sound never costs the video: what cannot be read or stored is left out, with a note.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from zoetrope.video.naming import sequence_pattern
from zoetrope.video.opening import PathLike, fault, main_stream, opened_container

if TYPE_CHECKING:
    import av
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

_COPIED = {".mp4": {"aac", "mp3", "ac3", "eac3", "alac", "opus"}, ".webm": {"opus", "vorbis"}}
_AAC_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_ENCODED = {".mp4": ("aac", _AAC_RATES), ".webm": ("libopus", (48000,))}
_PRIMING = 0.1  # seconds before the first picture that a decoder may need to start, and does not play


class _Track(NamedTuple):
    """One stream: from where, to where, and whether its packets go as they are."""

    source: "AudioStream"
    target: "AudioStream"
    copied: bool


class Sound:
    """The audio streams of a file, muxed as far as the pictures have come."""

    def __init__(
        self,
        container: "OutputContainer",
        packets: "Iterator[av.Packet[AudioStream]]",
        tracks: Sequence[_Track],
        start: float,
        notes: list[str],
    ) -> None:
        self._container = container
        self._packets = packets
        self._tracks = {track.source.index: track for track in tracks}
        self._start = start
        self._notes = notes
        self._next = self._next_packet()

    def until(self, seconds: float) -> None:
        """Mux what begins before this time after the first picture."""
        import av

        while self._next is not None and self._time(self._next) < seconds:
            try:
                self._mux(self._next)
            except (av.error.InvalidDataError, av.error.ArgumentError) as error:
                self._notes.append(f"its sound is damaged and ends at {self._time(self._next):.2f} s ({fault(error)})")
                self._next = None
                return
            self._next = self._next_packet()

    def finish(self) -> None:
        """Mux what encoders have kept back."""
        for track in self._tracks.values():
            if not track.copied and track.target.codec_context.is_open:
                self._container.mux(track.target.encode(None))

    def _next_packet(self) -> "av.Packet[AudioStream] | None":
        """The next packet that is heard."""
        import av

        try:
            for packet in self._packets:
                if packet.pts is not None and packet.size and self._time(packet) >= -_PRIMING:
                    return packet
        except (av.FFmpegError, OSError) as error:
            self._notes.append(f"its sound is damaged and ends early ({fault(error)})")
        return None

    def _time(self, packet: "av.Packet[AudioStream]") -> float:
        return float((packet.pts or 0) * packet.time_base) - self._start

    def _mux(self, packet: "av.Packet[AudioStream]") -> None:
        track = self._tracks[packet.stream_index]
        shift = round(self._start / packet.time_base)
        if track.copied:
            packet.pts = (packet.pts or 0) - shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = track.target
            self._container.mux(packet)
            return
        for frame in track.source.codec_context.decode(packet):
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(self._start / frame.time_base)
            self._container.mux(track.target.encode(frame))


OpenSound = Callable[["OutputContainer"], Sound]


def has_sound(path: PathLike) -> bool:
    """Whether a video has any sound; none that can be kept is in what cannot be opened."""
    if sequence_pattern(path) is not None:
        return False
    try:
        with opened_container(path) as container:
            return bool(container.streams.audio)
    except ValueError:
        return False


def no_sound(container: "OutputContainer") -> Sound:
    """Nothing to be heard."""
    return Sound(container, iter(()), (), 0.0, [])


@contextmanager
def sound_of(path: PathLike, suffix: str, notes: list[str]) -> Iterator[OpenSound]:
    """What adds the sound of a file to a new container of the kind `suffix`; time 0 is the file's first picture."""
    with ExitStack() as stack:
        if sequence_pattern(path) is not None:  # pictures alone
            yield no_sound
            return
        try:
            source = stack.enter_context(opened_container(path))
        except ValueError as error:
            notes.append(f"its sound is left out: {error}")
            yield no_sound
            return

        def open_sound(container: "OutputContainer") -> Sound:
            tracks = [track for stream in source.streams.audio if (track := _track(container, stream, suffix, notes))]
            packets = source.demux(tuple(track.source for track in tracks)) if tracks else iter(())
            return Sound(container, packets, tracks, _first_picture(source), notes)

        yield open_sound


def _first_picture(source: "InputContainer") -> float:
    video = main_stream(source)
    return 0.0 if video is None else float((video.start_time or 0) * (video.time_base or 0))


def _track(container: "OutputContainer", stream: "AudioStream", suffix: str, notes: list[str]) -> _Track | None:
    """The stream's place in the container; None, with a note, if it cannot have one."""
    from av.audio.stream import AudioStream

    context: AudioCodecContext | None = stream.codec_context  # none, against PyAV's annotations, without a decoder
    if context is None:
        notes.append("its sound is in a format that FFmpeg cannot decode and is left out")
        return None
    if context.codec.canonical_name in _COPIED[suffix]:
        copy = container.add_stream_from_template(stream)
        copy.metadata.update(stream.metadata)
        return _Track(stream, copy, True)
    encoder, rates = _ENCODED[suffix]
    target = container.add_stream(encoder, rate=context.sample_rate if context.sample_rate in rates else rates[0])
    assert isinstance(target, AudioStream)
    target.codec_context.layout = "mono" if context.layout.nb_channels == 1 else "stereo"
    notes.append(f"its sound ({context.codec.canonical_name}) is encoded anew as {encoder.removeprefix('lib')}")
    return _Track(stream, target, False)
