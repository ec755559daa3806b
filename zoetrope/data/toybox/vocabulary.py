"""What toybox can show and the words for it. Data only.

Every table of words holds the ones that training captions use and the ones kept for testing whether the language
model carries a meaning over to words that the video model never saw. None of the latter contains one of the former.
"""

from typing import NamedTuple


class Phrases(NamedTuple):
    """The ways to say one thing: those of training captions and those never used in training."""

    train: tuple[str, ...]
    held_out: tuple[str, ...] = ()


def words(train: str, held_out: str = "") -> Phrases:
    """Words told apart by commas, so that the tables below stay readable."""
    return Phrases(*(tuple(part.split(", ")) if part else () for part in (train, held_out)))


class Colour(NamedTuple):
    """A colour's red, green and blue in [0, 1] and its names."""

    rgb: tuple[float, float, float]
    words: Phrases


class Background(NamedTuple):
    """Colours at the top and bottom of the frame, whether stars are strewn over it, and phrases for it."""

    top: tuple[float, float, float]
    bottom: tuple[float, float, float]
    stars: bool
    words: Phrases


COLOURS = {
    "red": Colour(
        (0.90, 0.10, 0.10),
        words("red, red, red, red, scarlet, ruby, cherry red, vermilion, brick red, blood red, tomato red", "reddish"),
    ),
    "orange": Colour(
        (1.00, 0.55, 0.05),
        words(
            "orange, orange, orange, orange, tangerine, "
            "pumpkin orange, apricot, carrot orange, mandarin orange, marigold, bright orange",
            "orangey",
        ),
    ),
    "yellow": Colour(
        (0.98, 0.90, 0.10),
        words(
            "yellow, yellow, yellow, yellow, lemon yellow, "
            "golden, mustard, sunflower yellow, banana yellow, gold, sunny yellow",
            "yellowish",
        ),
    ),
    "green": Colour(
        (0.10, 0.65, 0.15),
        words(
            "green, green, green, green, emerald, "
            "grass green, lime green, olive, moss green, leafy green, forest green",
            "greenish",
        ),
    ),
    "cyan": Colour(
        (0.10, 0.85, 0.90),
        words(
            "cyan, cyan, cyan, cyan, bright cyan, aqua, aquamarine, blue-green, aqua blue, lagoon blue, sea blue",
            "turquoise",
        ),
    ),
    "blue": Colour(
        (0.10, 0.25, 0.90),
        words(
            "blue, blue, blue, blue, royal blue, sapphire, ultramarine, azure, navy blue, deep blue, bright blue",
            "bluish",
        ),
    ),
    "purple": Colour(
        (0.50, 0.10, 0.65),
        words(
            "purple, purple, purple, purple, plum, grape purple, mauve, amethyst, lavender, dark purple, deep purple",
            "violet",
        ),
    ),
    "pink": Colour(
        (1.00, 0.50, 0.75),
        words(
            "pink, pink, pink, pink, rose, rose pink, bubblegum pink, salmon pink, hot pink, flamingo pink, magenta",
            "pinkish",
        ),
    ),
    "white": Colour(
        (0.98, 0.98, 0.98),
        words(
            "white, white, white, white, snow white, chalk white, milky white, pearl white, snowy, pure white",
            "whitish",
        ),
    ),
    "black": Colour(
        (0.04, 0.04, 0.04),
        words(
            "black, black, black, black, jet black, pitch black, coal black, ink black, raven black, pure black",
            "blackish",
        ),
    ),
}

# Names that tell the colour to people, but hardly to a small language model: a linear map from MiniLM's features of the
# words above finds the colour of 30 % of them. Never seen in training, and reported apart from the held-out words.
HUES = {
    "red": "crimson",
    "orange": "amber",
    "yellow": "canary",
    "green": "jade",
    "cyan": "teal",
    "blue": "cobalt",
    "purple": "indigo",
    "pink": "fuchsia",
    "white": "ivory",
    "black": "ebony",
}

FLAT_SHAPES = {
    "circle": words("circle, circle, circle, disc, round dot, round shape, disk, roundel", "circular spot"),
    "square": words("square, square, square, flat box, four-sided square, square block", "tile"),
    "triangle": words("triangle, triangle, triangle, three-sided shape, three-cornered shape", "triangular wedge"),
    "star": words("star, star, star, five-pointed star, star shape, gold-star shape", "starry badge"),
    "heart": words("heart, heart, heart, love heart, heart shape, heart symbol, sweetheart, love symbol", "valentine"),
    "cross": words("cross, cross, cross, plus sign, plus shape, medical cross", "plus symbol"),
    "ring": words("ring, ring, ring, hoop, hollow circle, bagel, open circle, annulus, wreath, lifebelt", "donut"),
}

SOLID_SHAPES = {
    "cube": words("cube, 3d cube, three-dimensional cube, solid cube", "crate"),
    "sphere": words("sphere, 3d sphere, ball, shiny ball", "orb"),
    "pyramid": words("pyramid, 3d pyramid, three-dimensional pyramid, solid pyramid", "egyptian monument"),
}

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTER_WORDS = words("letter {}, letter {}, capital {}, capital letter {}", "character {}")

SHAPES = {**FLAT_SHAPES, **SOLID_SHAPES, "letter": LETTER_WORDS}

# Phrases follow a subject: "a red circle ...".
MOTIONS = {
    "still": words(
        "standing still, not moving, staying in place, motionless, holding still, sitting still, resting",
        "immobile, keeping still",
    ),
    "left": words(
        "moving left, moving to the left, sliding to the left, gliding leftward, going from right to left, "
        "travelling left, crossing to the left side",
        "drifting to the left, heading leftwards",
    ),
    "right": words(
        "moving right, moving to the right, sliding to the right, gliding rightward, going from left to right, "
        "travelling right, crossing to the right side",
        "drifting to the right, heading rightwards",
    ),
    "up": words(
        "moving up, moving upward, rising, floating up, going up, lifting off, flying upward", "climbing, ascending"
    ),
    "down": words(
        "moving down, moving downward, sinking, sliding down, going down, dropping, lowering", "descending, falling"
    ),
    "spin": words(
        "spinning, rotating, turning around, spinning in place, whirling, turning on the spot",
        "twirling, revolving",
    ),
    "grow": words(
        "growing, getting bigger, becoming larger, growing in size, increasing in size, inflating",
        "expanding, enlarging",
    ),
    "shrink": words(
        "shrinking, getting smaller, becoming smaller, shrinking in size, decreasing in size, deflating",
        "diminishing, reducing in size",
    ),
    "orbit": words(
        "moving in a circle, circling around, going round and round, moving along a circular path, "
        "going in circles, tracing a circle",
        "orbiting, travelling in circles",
    ),
    "bounce": words(
        "bouncing, bouncing up and down, hopping, jumping up and down, jumping, hopping up and down",
        "leaping up and down, bobbing up and down",
    ),
}

BACKGROUNDS = {
    "white": Background((1, 1, 1), (1, 1, 1), False, words("on a white background, on white")),
    "black": Background((0, 0, 0), (0, 0, 0), False, words("on a black background, on black")),
    "grey": Background(
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        False,
        words("on a grey background, on plain grey"),
    ),
    "cream": Background(
        (0.97, 0.93, 0.80),
        (0.97, 0.93, 0.80),
        False,
        words("on a cream background, on cream paper", "on parchment"),
    ),
    "navy": Background(
        (0.04, 0.07, 0.25),
        (0.04, 0.07, 0.25),
        False,
        words("on a navy background, on dark blue"),
    ),
    "sky blue": Background(
        (0.60, 0.82, 0.97),
        (0.60, 0.82, 0.97),
        False,
        words("on a sky blue background, on light blue"),
    ),
    "dark green": Background(
        (0.03, 0.24, 0.12),
        (0.03, 0.24, 0.12),
        False,
        words("on a dark green background, on dark green"),
    ),
    "lilac": Background(
        (0.82, 0.76, 0.94),
        (0.82, 0.76, 0.94),
        False,
        words("on a lilac background, on pale lilac"),
    ),
    "sunset": Background(
        (0.30, 0.14, 0.42),
        (0.98, 0.56, 0.30),
        False,
        words("in front of a sunset sky, against a sunset, with a sunset behind", "at dusk"),
    ),
    "night": Background(
        (0.01, 0.01, 0.07),
        (0.08, 0.09, 0.26),
        True,
        words("in front of a night sky with stars, against a starry sky, at night", "under the stars"),
    ),
}
DARK_BACKGROUNDS = ("black", "navy")
PAPERS = ("white", "cream")
# Smallest distance in RGB between an object's colour and any colour behind it.
CONTRAST = 0.45

# Patterns take a subject with its article.
STYLES = {
    "flat": words("{}"),
    "neon": words(
        "a neon outline of {}, a glowing neon sign of {}, {} as a neon outline",
        "an electric light tube in the form of {}",
    ),
    "sketch": words("a sketch of {}, a pencil drawing of {}, {} drawn in pencil", "a hand-drawn crayon doodle of {}"),
    "pixel": words(
        "{} in pixel art style, a pixel art picture of {}, pixel art of {}", "an 8-bit video game sprite of {}"
    ),
}

RELATIONS = {
    "left": words("to the left of, left of, on the left side of", "on the left-hand side of"),
    "right": words("to the right of, right of, on the right side of", "on the right-hand side of"),
    "above": words("above, over, on top of", "higher than"),
    "below": words("below, under, underneath", "beneath"),
}
# Two objects move across the line that joins them, so that both keep inside the frame.
PAIR_MOTIONS = {
    "left": ("still", "still", "up", "down", "spin", "bounce"),
    "right": ("still", "still", "up", "down", "spin", "bounce"),
    "above": ("still", "still", "left", "right", "spin"),
    "below": ("still", "still", "left", "right", "spin"),
}

TILTED = words("tilted, slanted, leaning, inclined")

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
