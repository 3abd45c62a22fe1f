"""The closed lists of English that the offline planner reads by: numbers, attributes, relations, scenes, styles."""

from __future__ import annotations

import re

NUMBERS = {
    word: number
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
LARGE_NUMBERS = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}

VAGUE_COUNTS = {
    "few": 3,
    "several": 4,
    "some": 3,
    "many": 6,
    "multiple": 4,
    "various": 4,
    "numerous": 6,
    "countless": 12,
}
EXACT_COUNTS = {
    "half dozen": 6,
    "couple": 2,
    "pair": 2,
    "trio": 3,
    "dozen": 12,
    "both": 2,
    "single": 1,
    "lone": 1,
    "solitary": 1,
    "quartet": 4,
}
GROUPS = {
    word: 5
    for word in "group bunch herd flock crowd pack school swarm fleet family collection cluster set assortment number "
    "range variety pride colony team stand clump".split()
} | {
    "row": 4,
    "line": 4,
    "queue": 4,
    "column": 3,
    "stack": 3,
    "tower": 3,
    "lot": 6,
    "lots": 6,
    "plenty": 6,
    "dozens": 24,
}
ARRANGED = {"row": "row", "line": "row", "queue": "row", "column": "column", "stack": "column", "tower": "column"}

COLOURS = frozenset(
    "red orange yellow green blue purple pink brown black white gray grey cyan magenta turquoise teal violet indigo maroon "
    "crimson scarlet beige cream ivory gold golden silver bronze copper navy olive lime lavender lilac peach coral salmon "
    "tan khaki amber emerald ruby sapphire aqua burgundy mauve fuchsia mint mustard charcoal rosy multicolored "
    "multicoloured colorful colourful rainbow-colored pale dark light bright vivid pastel neon deep reddish bluish "
    "greenish yellowish transparent translucent ginger blonde brunette tabby calico monochrome".split()
)
TEXTURES = frozenset(
    "striped stripy stripey spotted dotted polka-dot polka-dotted checkered chequered checked plaid plain solid patterned "
    "floral furry fluffy fuzzy hairy woolly smooth rough shiny glossy matte wrinkled cracked rusty rusted mossy muddy dirty "
    "clean wet dry dusty glittering sparkling glowing textured banded speckled marbled quilted knitted woven ribbed "
    "spiky bumpy scaly feathered polished worn weathered torn tattered faded ornate".split()
)
MATERIALS = frozenset(
    "wooden wood metal metallic steel iron brass glass plastic stone marble concrete brick clay ceramic porcelain leather "
    "wool woollen cotton silk velvet denim paper cardboard rubber foam straw bamboo wicker tin aluminum aluminium chrome "
    "crystal diamond granite sandstone tile tiled thatched inflatable plush stuffed origami lego felt".split()
)
SIZES = {
    word: scale
    for scale, words in (
        (1.7, "gigantic enormous colossal massive giant huge immense towering oversized"),
        (1.4, "large big great grand bulky fat chubby"),
        (0.75, "small little short slim"),
        (0.55, "tiny mini miniature minuscule micro toy-sized"),
        (1.0, "medium medium-sized mid-sized"),
    )
    for word in words.split()
}
STRETCHES = {
    "tall": 1.4, "long": 0.7, "wide": 0.7, "narrow": 1.4, "thin": 1.3, "slim": 1.3, "slender": 1.3, "short": 0.8, "flat": 0.7
}  # fmt: skip
ADJECTIVES = frozenset(
    "old new young ancient modern vintage antique retro classic futuristic traditional rustic medieval victorian gothic "
    "beautiful pretty cute lovely handsome elegant ugly majestic magnificent gorgeous stunning charming adorable happy sad "
    "angry cheerful smiling lonely scared friendly fierce wild tame sleepy tired lazy playful curious calm brave clever "
    "hot cold warm cool frozen icy snowy sunny cloudy rainy stormy foggy misty windy starry moonlit sunlit sandy grassy "
    "rocky dusty lush green-leafed dense thick open closed empty full broken fresh ripe juicy delicious tasty raw cooked "
    "round square circular oval triangular rectangular curved straight bent pointed pointy sharp blunt flat hollow curly "
    "strong weak heavy fast slow quiet loud soft hard gentle simple plain fancy complex detailed realistic photorealistic "
    "hyperrealistic abstract surreal cinematic dramatic epic minimalist minimal cartoon cartoonish animated 3d 2d 4k 8k hd "
    "digital magical mystical enchanted mysterious spooky haunted creepy fantastic fantasy whimsical dreamy serene peaceful "
    "tranquil quaint cozy cosy luxurious expensive cheap rich poor royal holy sacred rural urban tropical exotic oriental "
    "asian african american european japanese chinese indian mexican italian french english domestic electric electronic "
    "left right upper lower front back side top bottom middle central outer inner nearby distant far high low similar "
    "identical different same matching separate own real fake artificial natural common rare famous typical ordinary strange "
    "weird unusual special perfect main major minor certain whole entire half quarter first second third last next other "
    "opposite parallel vertical horizontal diagonal upright sideways lit unlit crowded busy bustling deserted abandoned "
    "quick brown-eyed blue-eyed bearded bald pregnant elderly male female adult baby newborn grown healthy sick dead alive "
    "close-up closeup top-down overhead aerial panoramic wide-angle isometric low-angle front-facing black-and-white "
    "noble humble blurry clear crisp sharp faint dim hazy glassy bare naked leafless leafy blooming flowering overgrown "
    "vast spacious cluttered tidy messy neat".split()
)
ADVERBS = frozenset(
    "very really quite extremely highly slightly rather too so just only also together alone again directly immediately "
    "exactly right closely far slowly quickly gently quietly happily peacefully nearby outside inside outdoors indoors "
    "here there everywhere away apart up down upside ahead behind forward still already always partly partially fully "
    "mostly almost nearly brightly well then now currently respectively please intricately beautifully".split()
)

PARTS = frozenset(
    "eye ear nose mouth tooth tongue face head hair fur tail leg arm hand foot paw wing beak feather horn antler mane "
    "whisker claw fin scale beard mustache moustache smile expression neck skin body back belly spot stripe dot "
    "pattern design door window roof chimney wall wheel tire handle lid leaf petal stem branch root trunk sail mast "
    "collar leash ribbon label logo button pocket sleeve screen leg hood headlight bumper seat light string tip edge "
    "texture colour color shape outline background border engine saddle bell frosting icing topping sprinkle tint shade "
    "shadow reflection crust hole crack pole cover page freckle wrinkle hat glasses sunglasses".split()
)
"""What "with ..." names as a part or a property of the thing before it, so that it stays in that thing's caption."""

SCENES = frozenset(
    "background backdrop scenery landscape environment setting ground floor surface grass lawn meadow field pasture garden "
    "yard backyard park playground forest wood woods jungle rainforest desert dune dunes sand beach shore seashore coast "
    "seaside sea ocean water lake river stream pond pool bay harbor harbour port marina island sky heaven space outer-space "
    "galaxy universe cosmos night day daytime nighttime morning evening afternoon noon midnight dusk dawn twilight sunset "
    "sunrise sunshine sunlight moonlight daylight rain snow fog mist storm thunderstorm snowstorm blizzard wind weather "
    "winter summer spring autumn fall season street road highway path trail sidewalk pavement alley lane driveway "
    "crosswalk intersection parking-lot city town village countryside farm ranch market square plaza station airport "
    "runway track railway stadium arena court room bedroom kitchen bathroom living-room dining-room classroom office "
    "studio hall hallway corridor library museum gallery restaurant cafe bar shop store supermarket mall hospital school "
    "house-interior garage basement attic balcony terrace patio porch deck zoo circus aquarium-tank valley canyon hill "
    "hills mountain mountains mountainside cliff savanna savannah prairie tundra swamp marsh glacier horizon darkness "
    "underwater seabed seafloor jungle orchard vineyard stage wallpaper asphalt indoors outdoors distance air dark "
    "tabletop countertop lighting shade world nature skyline cityscape seascape".split()
)
LANDMARKS = frozenset(
    "mountain hill river lake pond island pool cliff farm school hospital shop store station village city town castle "
    "garage museum library restaurant cafe market court track dune park garden".split()
)
"""Scenes that are things when the text counts them ("two mountains")."""
SURFACES = frozenset("table desk tabletop counter countertop workbench".split())
"""Furniture that "on ..." makes the ground of the picture, unless the text treats it as a thing elsewhere."""

FRAMES = frozenset(
    "photo photograph picture image painting drawing sketch illustration render rendering view scene shot close-up closeup "
    "portrait snapshot watercolor watercolour cartoon artwork art poster photography still depiction composition oil "
    "engraving etching mural fresco mosaic collage sculpture doodle clipart icon graphic depiction footage frame screenshot "
    "print diagram wallpaper canvas video panorama selfie".split()
)
"""A picture's own kinds: at the head of a prompt ("a photo of ...") they name its style, not a thing in it."""
CANVAS = "image|picture|scene|frame|photo|photograph|canvas|screen|painting|drawing|composition|view|shot|illustration"
STYLES = frozenset(
    "style art lighting quality detail details resolution bokeh masterpiece artstation render rendering photography "
    "illustration watercolor watercolour photorealism realism impressionism cubism surrealism anime manga comic sketch "
    "painting drawing photo focus depth-of-field render unreal-engine octane hdr uhd hd 4k 8k 16k film grain lens aesthetic "
    "mood atmosphere tones tone palette colors colours shot angle perspective wallpaper composition vibe".split()
)

DETERMINERS = frozenset(
    "a an the this that these those its his her their my your our another each every any all".split()
)
PRONOUNS = frozenset("it they them he she him these those both one ones everything".split())
CONNECTORS = frozenset("and plus & + as-well-as along-with together-with or while whereas".split())
COPULAS = frozenset("is are was were be being been am isn't aren't 's".split())
RELATIVES = frozenset("which that who whose whom where".split())
SHOWING = frozenset(
    "showing shows show depicting depicts featuring features contains containing includes including consists has have "
    "having had shown depicted".split()
)
NEGATIONS = frozenset(
    "no not without never none nor neither cannot lacking excluding except minus zero excludes lacks don't doesn't isn't aren't "
    "won't can't wasn't weren't sans".split()
)

_PREPOSITIONS = {
    "left": "left of|to the left of|on the left of|at the left of|to the left side of|on the left side of|"
    "on the left hand side of|on the left-hand side of|to the left from|left from",
    "right": "right of|to the right of|on the right of|at the right of|to the right side of|on the right side of|"
    "on the right hand side of|on the right-hand side of|to the right from|right from",
    "above": "above|over|higher than|high above|directly above|hovering over|up above",
    "below": "below|lower than|directly below|down below",
    "on": "on|onto|upon|atop|on top of|on the top of|at the top of|on the surface of|on the back of|aboard|astride",
    "under": "under|underneath|beneath|at the bottom of|at the foot of|at the base of|directly under",
    "front": "in front of|before|ahead of|at the front of",
    "behind": "behind|in back of|at the back of|beyond|in the back of",
    "inside": "in|inside|inside of|within|into|in the inside of|amid|amidst|among|amongst",
    "near": "next to|beside|besides|near|near to|close to|close by|by|alongside|adjacent to|at|against|around|across from|"
    "opposite|opposite to|by the side of|at the side of|on the side of|nearby|along|across|through|toward|towards|past|"
    "leaning against|together with|surrounded by|accompanied by|followed by|to the side of|with",
    "far": "far from|away from|far away from|apart from",
    "between": "between|in between|in-between",
    "middle": "in the middle of|in the center of|in the centre of|at the center of|at the centre of",
    "corner": "in the corner of|in a corner of|at the corner of",
    "detail": "made of|made out of|made from|made up of|covered in|covered with|covered by|dressed in|shaped like|in the shape of|"
    "decorated with|full of|filled with|for|about|like|as|from|to|off|than|out of|of|painted with|adorned with|via",
    "time": "during|after|throughout|since|until",
}
RELATIONS = {tuple(phrase.split()): kind for kind, phrases in _PREPOSITIONS.items() for phrase in phrases.split("|")}
LONGEST_RELATION = max(map(len, RELATIONS))

SIDES = {"upper": "top", "lower": "bottom", "centre": "center", "middle": "center", "foreground": "front",
         "background": "back", "distance": "back"}  # fmt: skip
REGION = re.compile(
    r"(?P<lead>(?:on|in|at|to|near|toward|towards|into) )?(?P<the>the |its )?(?:very |far |extreme |exact )?"
    r"(?:(?P<v>top|upper|bottom|lower)(?:[ -](?P<vh>left|right|center|centre|middle))?"
    r"|(?P<h>left|right)|(?P<c>center|centre|middle)|(?P<d>foreground|background|distance|front|back)|(?P<corner>corner))"
    r"(?:[ -]hand)?(?P<part> side| half| part| corner| third| edge| area| portion| section| region)?"
    rf"(?P<canvas> (?:of|in) (?:the |this |my |a )?(?:{CANVAS}))?(?= |$)"
)

_VERBS = {
    "": "sit stand lie lay rest lean hang float fly run walk sleep play jump swim grow shine sail drive wait dance sing smile "
    "laugh bark graze glide hover drift roll bounce fall rise face look stare gaze move travel live stay crouch kneel climb "
    "wander roam roost nap relax dine blow burn glow twinkle bloom cook work study write talk swing surf ski skate crawl gallop "
    "peek hide perch tower cross row pose gather point wave splash dive spin stretch yawn howl",
    "place": "place locate position situate seat park set arrange mount display see show surround stack scatter line nestle "
    "visible appear group depict attach tie leave put spread pile",
    "on": "ride straddle mount",
    "worn": "wear don",
    "held": "hold carry eat drink read use grab grip lift bite chew clutch throw catch smoke open hug kiss",
    "near": "chase follow watch push pull kick feed touch meet fight pet face approach greet observe guard lick sniff walk "
    "paint draw cook wash drive admire hunt attack help teach lead cross visit pass",
    "inverse inside": "contain",
    "under": "support",
}
VERBS = {verb: kind for kind, verbs in reversed(_VERBS.items()) for verb in verbs.split()}
TRANSITIVE = {verb: kind for kind, verbs in _VERBS.items() if kind not in ("", "place") for verb in verbs.split()}
IRREGULAR_PARTICIPLES = {
    "seen": "see", "shown": "show", "hung": "hang", "seated": "seat", "lying": "lie", "tied": "tie", "left": "leave",
    "held": "hold", "worn": "wear", "laid": "lay", "spread": "spread", "put": "put", "set": "set", "dying": "die", "visible": "visible",
}  # fmt: skip
