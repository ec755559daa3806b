"""What toybox can show and the words for it. Data only.

Every table of words holds the ones that training captions use and the ones kept for testing whether the language
model carries a meaning over to words that the video model never saw.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """The ways to say one thing: those of training captions and those never used in training."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()


class Colour(NamedTuple):
    """A colour's red, green and blue in [0, 1] and its names."""

    rgb: tuple[float, float, float]
    words: Words


class Background(NamedTuple):
    """Colours at the top and bottom of the frame, whether stars are strewn over it, and phrases for it."""

    top: tuple[float, float, float]
    bottom: tuple[float, float, float]
    stars: bool
    words: Words


COLOURS = {
    "red": Colour(
        (0.90, 0.10, 0.10),
        Words(
            (
                "red",
                "red",
                "red",
                "scarlet",
                "ruby",
                "cherry red",
                "bright red",
                "vermilion",
            ),
            ("crimson",),
        ),
    ),
    "orange": Colour(
        (1.00, 0.55, 0.05),
        Words(
            (
                "orange",
                "orange",
                "orange",
                "tangerine",
                "pumpkin orange",
                "apricot",
                "bright orange",
            ),
            ("amber",),
        ),
    ),
    "yellow": Colour(
        (0.98, 0.90, 0.10),
        Words(
            (
                "yellow",
                "yellow",
                "yellow",
                "lemon yellow",
                "golden yellow",
                "mustard",
                "sunny yellow",
            ),
            ("canary",),
        ),
    ),
    "green": Colour(
        (0.10, 0.65, 0.15),
        Words(
            (
                "green",
                "green",
                "green",
                "emerald",
                "grass green",
                "lime green",
                "olive",
            ),
            ("jade",),
        ),
    ),
    "cyan": Colour(
        (0.10, 0.85, 0.90),
        Words(
            ("cyan", "cyan", "cyan", "turquoise", "aqua", "aquamarine", "blue-green"),
            ("teal",),
        ),
    ),
    "blue": Colour(
        (0.10, 0.25, 0.90),
        Words(
            (
                "blue",
                "blue",
                "blue",
                "royal blue",
                "sapphire",
                "ultramarine",
                "bright blue",
            ),
            ("cobalt",),
        ),
    ),
    "purple": Colour(
        (0.50, 0.10, 0.65),
        Words(
            ("purple", "purple", "purple", "violet", "plum", "grape purple", "mauve"),
            ("indigo",),
        ),
    ),
    "pink": Colour(
        (1.00, 0.50, 0.75),
        Words(
            (
                "pink",
                "pink",
                "pink",
                "rose pink",
                "bubblegum pink",
                "salmon pink",
                "magenta pink",
            ),
            ("fuchsia",),
        ),
    ),
    "white": Colour(
        (0.98, 0.98, 0.98),
        Words(
            (
                "white",
                "white",
                "white",
                "snow white",
                "pure white",
                "chalk white",
                "milky white",
            ),
            ("ivory",),
        ),
    ),
    "black": Colour(
        (0.04, 0.04, 0.04),
        Words(
            (
                "black",
                "black",
                "black",
                "jet black",
                "pitch black",
                "coal black",
                "ink black",
            ),
            ("ebony",),
        ),
    ),
}

FLAT_SHAPES = {
    "circle": Words(
        ("circle", "circle", "circle", "disc", "round dot", "round shape", "disk"),
        ("circular spot",),
    ),
    "square": Words(
        ("square", "square", "square", "flat box", "four-sided square", "square block"),
        ("square tile",),
    ),
    "triangle": Words(
        (
            "triangle",
            "triangle",
            "triangle",
            "three-sided shape",
            "three-cornered shape",
        ),
        ("triangular wedge",),
    ),
    "star": Words(
        ("star", "star", "star", "five-pointed star", "star shape", "gold-star shape"),
        ("starry badge",),
    ),
    "heart": Words(
        ("heart", "heart", "heart", "love heart", "heart shape", "heart symbol"),
        ("valentine",),
    ),
    "cross": Words(
        ("cross", "cross", "cross", "plus sign", "plus shape", "medical cross"),
        ("plus symbol",),
    ),
    "ring": Words(
        ("ring", "ring", "ring", "hoop", "hollow circle", "band", "open circle"),
        ("donut",),
    ),
}

SOLID_SHAPES = {
    "cube": Words(("cube", "3d cube", "three-dimensional cube", "solid cube"), ("crate",)),
    "sphere": Words(("sphere", "3d sphere", "ball", "shiny ball"), ("orb",)),
    "pyramid": Words(
        ("pyramid", "3d pyramid", "three-dimensional pyramid", "solid pyramid"),
        ("egyptian monument",),
    ),
}

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_WORDS = Words(("letter {}", "letter {}", "capital {}", "capital letter {}"), ("character {}",))

SHAPES = {**FLAT_SHAPES, **SOLID_SHAPES, "letter": LETTER_WORDS}

# Phrases follow a subject: "a red circle ...".
MOTIONS = {
    "still": Words(
        (
            "standing still",
            "not moving",
            "staying in place",
            "motionless",
            "holding still",
            "sitting still",
            "resting",
        ),
        ("immobile", "keeping still"),
    ),
    "left": Words(
        (
            "moving left",
            "moving to the left",
            "sliding to the left",
            "gliding leftward",
            "going from right to left",
            "travelling left",
            "crossing to the left side",
        ),
        ("drifting to the left", "heading leftwards"),
    ),
    "right": Words(
        (
            "moving right",
            "moving to the right",
            "sliding to the right",
            "gliding rightward",
            "going from left to right",
            "travelling right",
            "crossing to the right side",
        ),
        ("drifting to the right", "heading rightwards"),
    ),
    "up": Words(
        (
            "moving up",
            "moving upward",
            "rising",
            "floating up",
            "going up",
            "lifting off",
            "flying upward",
        ),
        ("climbing", "ascending"),
    ),
    "down": Words(
        (
            "moving down",
            "moving downward",
            "sinking",
            "sliding down",
            "going down",
            "dropping",
            "lowering",
        ),
        ("descending", "falling"),
    ),
    "spin": Words(
        (
            "spinning",
            "rotating",
            "turning around",
            "spinning in place",
            "whirling",
            "turning on the spot",
        ),
        ("twirling", "rotating on its axis"),
    ),
    "grow": Words(
        (
            "growing",
            "getting bigger",
            "becoming larger",
            "growing in size",
            "increasing in size",
            "inflating",
        ),
        ("expanding", "enlarging"),
    ),
    "shrink": Words(
        (
            "shrinking",
            "getting smaller",
            "becoming smaller",
            "shrinking in size",
            "decreasing in size",
            "deflating",
        ),
        ("diminishing", "reducing in size"),
    ),
    "orbit": Words(
        (
            "moving in a circle",
            "circling around",
            "going round and round",
            "moving along a circular path",
            "going in circles",
            "tracing a circle",
        ),
        ("orbiting", "travelling in circles"),
    ),
    "bounce": Words(
        (
            "bouncing",
            "bouncing up and down",
            "hopping",
            "jumping up and down",
            "jumping",
            "hopping up and down",
        ),
        ("leaping up and down", "bobbing up and down"),
    ),
}

BACKGROUNDS = {
    "white": Background((1, 1, 1), (1, 1, 1), False, Words(("on a white background", "on white"))),
    "black": Background((0, 0, 0), (0, 0, 0), False, Words(("on a black background", "on black"))),
    "grey": Background(
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        False,
        Words(("on a grey background", "on plain grey")),
    ),
    "cream": Background(
        (0.97, 0.93, 0.80),
        (0.97, 0.93, 0.80),
        False,
        Words(("on a cream background", "on cream paper"), ("on parchment",)),
    ),
    "navy": Background(
        (0.04, 0.07, 0.25),
        (0.04, 0.07, 0.25),
        False,
        Words(("on a navy background", "on dark blue")),
    ),
    "sky blue": Background(
        (0.60, 0.82, 0.97),
        (0.60, 0.82, 0.97),
        False,
        Words(("on a sky blue background", "on light blue")),
    ),
    "dark green": Background(
        (0.03, 0.24, 0.12),
        (0.03, 0.24, 0.12),
        False,
        Words(("on a dark green background", "on dark green")),
    ),
    "lilac": Background(
        (0.82, 0.76, 0.94),
        (0.82, 0.76, 0.94),
        False,
        Words(("on a lilac background", "on pale lilac")),
    ),
    "sunset": Background(
        (0.30, 0.14, 0.42),
        (0.98, 0.56, 0.30),
        False,
        Words(
            ("in front of a sunset sky", "against a sunset", "with a sunset behind"),
            ("at dusk",),
        ),
    ),
    "night": Background(
        (0.01, 0.01, 0.07),
        (0.08, 0.09, 0.26),
        True,
        Words(
            ("in front of a night sky with stars", "against a starry sky", "at night"),
            ("under the stars",),
        ),
    ),
}
DARK_BACKGROUNDS = ("black", "navy")
PAPERS = ("white", "cream")
# Smallest distance in RGB between an object's colour and any colour behind it.
CONTRAST = 0.45

# Patterns take a subject with its article.
STYLES = {
    "flat": Words(("{}",)),
    "neon": Words(
        ("a neon outline of {}", "a glowing neon sign of {}", "{} as a neon outline"),
        ("an electric light tube in the form of {}",),
    ),
    "sketch": Words(
        ("a sketch of {}", "a pencil drawing of {}", "{} drawn in pencil"),
        ("a hand-drawn crayon doodle of {}",),
    ),
    "pixel": Words(
        ("{} in pixel art style", "a pixel art picture of {}", "pixel art of {}"),
        ("an 8-bit video game sprite of {}",),
    ),
}

RELATIONS = {
    "left": Words(
        ("to the left of", "left of", "on the left side of"),
        ("on the left-hand side of",),
    ),
    "right": Words(
        ("to the right of", "right of", "on the right side of"),
        ("on the right-hand side of",),
    ),
    "above": Words(("above", "over", "on top of"), ("higher than",)),
    "below": Words(("below", "under", "underneath"), ("beneath",)),
}
# Two objects move across the line that joins them, so that both keep inside the frame.
PAIR_MOTIONS = {
    "left": ("still", "still", "up", "down", "spin", "bounce"),
    "right": ("still", "still", "up", "down", "spin", "bounce"),
    "above": ("still", "still", "left", "right", "spin"),
    "below": ("still", "still", "left", "right", "spin"),
}

# A turn of these cannot be seen, so they never spin, anywhere.
ROUND = ("circle", "ring", "sphere")

# Pairs of values that no training clip combines. Two fields of a script each, then the values.
HELD_OUT_COLOUR_SHAPE = (
    ("red", "star"),
    ("orange", "cross"),
    ("yellow", "heart"),
    ("green", "ring"),
    ("cyan", "triangle"),
    ("blue", "heart"),
    ("purple", "circle"),
    ("pink", "square"),
    ("white", "triangle"),
    ("green", "cube"),
)
HELD_OUT_SHAPE_MOTION = (
    ("square", "orbit"),
    ("star", "left"),
    ("heart", "spin"),
    ("triangle", "bounce"),
    ("circle", "grow"),
    ("cross", "up"),
    ("ring", "right"),
    ("cube", "down"),
)
HELD_OUT_COLOUR_MOTION = (
    ("orange", "shrink"),
    ("purple", "right"),
    ("cyan", "down"),
    ("yellow", "bounce"),
)
