from libs.runs.display import Lines, Row


class Paper:
    """Lines on paper, with a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.written: list[str] = []
        self.lines = Lines(self.written.append, lambda: self.now)

    def show(self, at: float, *rows: Row) -> None:
        self.now = at
        self.lines.show(rows)


def row(processed: int, *, label: str = "video", failed: int = 0) -> Row:
    return Row(label=label, total=100, processed=processed, failed=failed)


def test_a_line_comes_at_most_every_three_seconds() -> None:
    paper = Paper()
    for second in range(7):
        paper.show(float(second), row(second * 10))
    assert paper.written == ["  video 30/100, 10.0/s, 7 s left", "  video 60/100, 10.0/s, 4 s left"]


def test_the_end_is_written_at_once_and_once() -> None:
    paper = Paper()
    paper.show(0.0, row(0))
    paper.show(1.0, row(100, failed=2))
    paper.show(1.1, row(100, failed=2))
    assert paper.written == ["  video 100/100, 2 failed, 100.0/s"]


def test_a_job_that_is_done_keeps_its_rate() -> None:
    paper = Paper()
    paper.show(0.0, row(0, label="user"), row(0))
    paper.show(2.0, row(100, label="user"), row(10))
    paper.show(4.0, row(100, label="user"), row(20))
    assert paper.written == ["  user 100/100, 50.0/s; video 20/100, 5.0/s, 16 s left"]


def test_what_was_done_before_says_nothing_of_speed() -> None:
    paper = Paper()
    paper.show(0.1, row(100, label="user"), row(40))
    paper.show(10.0, row(100, label="user"), row(90))
    assert paper.written == ["  user 100/100; video 90/100, 5.0/s, 2 s left"]
