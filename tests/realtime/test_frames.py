"""Frames made here are what any WebSocket client reads, and each is made once."""

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from realtime.frames import Payload, frame, texts


@given(
    st.one_of(
        st.text(), st.sampled_from([124, 125, 126, 127, 65535, 65536, 70000]).map(lambda size: "x" * size)
    )
)
def test_a_frame_is_what_the_websockets_library_makes(text: str) -> None:
    expected = Frame(Opcode.TEXT, text.encode()).serialize(mask=False)

    assert frame(text) == expected


@given(
    st.lists(
        st.one_of(st.text(), st.sampled_from([125, 126, 65536]).map(lambda size: "é" * size)), max_size=6
    )
)
def test_a_run_of_frames_is_read_back_message_by_message(messages: list[str]) -> None:
    assert list(texts(b"".join(map(frame, messages)))) == messages


def test_a_payload_is_framed_once_for_everybody_and_anew_where_frames_are_numbered() -> None:
    payload = Payload("asset_update", '{"symbol":"A"}')

    assert payload.alone() is payload.alone()
    assert '"frame":7,"data":{"symbol":"A"}' in next(texts(payload.numbered(7)))
