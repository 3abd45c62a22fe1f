"""Plans written by hand as a careful planner would answer, for texts that are not easy to read: none has a fault.

A plan is a line for each thing: category | caption | x0 y0 x1 y1 on a grid of 0 to 1000, nearest first.
"""

from __future__ import annotations

from diffusion.layout import Box, Instance, Layout

GOOD_PLANS = {
    "A golden retriever puppy chews on a red shoe in front of a fireplace": """
        shoe | a red leather shoe | 430 800 560 870
        puppy | a golden retriever puppy lying on the floor | 300 600 620 880
        fireplace | a brick fireplace with a fire | 250 200 760 720""",
    "An elderly couple sits on a park bench feeding pigeons, autumn leaves all around": """
        pigeon | a grey pigeon | 200 860 270 930
        pigeon | a grey pigeon on the ground | 640 880 720 950
        man | an elderly man in a brown coat sitting on the bench | 330 430 480 800
        woman | an elderly woman in a green coat sitting on the bench | 500 440 650 800
        bench | a wooden park bench | 270 580 720 830""",
    "a busy farmers market with stalls of apples, oranges and carrots, a woman in a straw hat picks up an apple": """
        apple | a red apple in a hand | 520 520 560 560
        woman | a woman in a straw hat | 420 250 640 900
        stall | a wooden stall full of red apples | 60 520 380 820
        stall | a wooden stall full of oranges and carrots | 680 520 960 820""",
    "Two knights on horseback facing each other before a castle": """
        knight | a knight in silver armour riding a horse | 180 330 330 640
        horse | a brown horse with a knight on its back | 90 480 420 880
        knight | a knight in black armour riding a horse | 670 330 820 640
        horse | a white horse with a knight on its back | 580 480 910 880
        castle | a grey stone castle on a hill | 300 80 720 480""",
    "a cat looks at its reflection in a mirror, no people": """
        cat | a tabby cat sitting, seen from behind | 150 500 420 920
        mirror | a tall mirror with a cat's reflection | 520 120 860 900""",
    "Three blue birds on a wire above a street with a yellow taxi": """
        bird | a small blue bird perched on a wire | 200 120 270 190
        bird | a small blue bird perched on a wire | 420 110 490 180
        bird | a small blue bird perched on a wire | 640 120 710 190
        taxi | a yellow taxi seen from the side | 300 640 760 860""",
    "a bowl of soup with a spoon next to it and two slices of bread": """
        spoon | a silver spoon | 720 480 770 820
        bowl | a white bowl of tomato soup | 260 420 680 780
        bread | a slice of bread | 120 760 300 900
        bread | a slice of bread | 330 800 510 930""",
    "an astronaut riding a horse on the moon, earth in the black sky": """
        astronaut | an astronaut in a white suit riding a horse | 400 220 600 600
        horse | a white horse galloping | 250 420 780 880
        earth | the blue planet earth | 740 60 900 220""",
    "A red double-decker bus passes Big Ben while tourists take pictures": """
        tourist | a tourist with a camera | 60 600 170 930
        tourist | a tourist holding up a phone | 190 610 290 920
        bus | a red double-decker bus | 380 480 800 860
        clock tower | the Big Ben clock tower | 820 40 950 640""",
    "kitchen counter with a blender, a toaster and a vase of sunflowers by the window": """
        blender | a glass blender | 120 480 240 780
        toaster | a silver toaster | 330 600 520 770
        vase | a blue vase | 640 600 740 790
        sunflower | yellow sunflowers in a vase | 590 380 790 640
        window | a bright window | 540 60 920 560""",
    "a man walking his dog past a red brick house with a white picket fence": """
        dog | a brown dog on a leash | 520 760 660 880
        man | a man in a blue jacket walking | 360 470 490 890
        fence | a white picket fence | 30 620 340 800
        house | a red brick house | 120 150 900 700""",
    "children building a sandcastle, a red bucket beside them, sailing boats far out on the sea": """
        bucket | a red plastic bucket | 640 780 720 870
        child | a girl kneeling in the sand | 260 600 400 880
        child | a boy crouching in the sand | 500 610 630 880
        sandcastle | a sandcastle with four towers | 400 720 520 890
        boat | a small sailing boat far away | 150 330 200 400
        boat | a small sailing boat far away | 760 340 800 395""",
    "still life: a green bottle to the left of a white jug, three lemons in front": """
        lemon | a yellow lemon | 280 800 370 880
        lemon | a yellow lemon | 440 830 530 910
        lemon | a yellow lemon | 600 810 690 890
        bottle | a green glass bottle | 250 300 370 780
        jug | a white porcelain jug | 480 430 700 800""",
    "A street musician plays a violin under a street lamp at night": """
        violin | a brown violin held under the chin | 430 500 560 600
        musician | a street musician in a long coat playing | 400 420 600 920
        street lamp | a glowing street lamp | 620 80 700 850""",
    "two black and white cows behind a wooden fence, mountains in the background": """
        fence | a wooden fence across a meadow | 30 620 970 820
        cow | a black and white cow | 120 480 440 780
        cow | a black and white cow | 560 470 880 770""",
    "a small blue car parked between a large white truck and a motorcycle": """
        truck | a large white truck | 40 350 380 830
        car | a small blue car | 410 620 680 830
        motorcycle | a black motorcycle | 720 680 920 840""",
    "a chef holds a pan with a fried egg, steam rising": """
        egg | a fried egg | 560 560 640 590
        pan | a black frying pan | 520 560 760 640
        chef | a chef in white | 260 200 560 940""",
    "a teddy bear sitting on a shelf between two books": """
        teddy bear | a brown teddy bear sitting | 400 360 600 640
        book | a red book standing upright | 290 380 370 640
        book | a green book standing upright | 630 370 720 640
        shelf | a wooden wall shelf | 120 630 900 690""",
    "Penguins on an iceberg, a whale surfaces to the right": """
        penguin | a penguin standing | 180 420 240 560
        penguin | a penguin standing | 300 410 360 550
        penguin | a penguin standing | 420 430 480 560
        iceberg | a white iceberg | 60 380 600 820
        whale | a humpback whale's back out of the water | 640 620 960 780""",
    "a lighthouse on a cliff at sunset with seagulls circling it": """
        lighthouse | a white lighthouse with a red top on a cliff | 540 160 640 560
        seagull | a seagull flying | 420 180 490 220
        seagull | a seagull flying | 700 240 760 275
        seagull | a seagull flying | 640 90 700 125""",
    "an owl wearing glasses reads a book by candlelight": """
        book | an open old book | 350 680 650 860
        glasses | round glasses | 400 330 600 400
        owl | a brown owl wearing round glasses | 320 200 680 760
        candle | a burning candle | 760 520 810 840""",
    "a white sofa with two blue cushions and a grey cat asleep on it": """
        cat | a grey cat asleep on the sofa | 480 500 680 610
        cushion | a blue cushion | 200 450 330 580
        cushion | a blue cushion | 700 450 830 580
        sofa | a white sofa | 110 350 900 800""",
    "rain on a street; a woman with a transparent umbrella crosses it, a tram approaches from the left": """
        umbrella | a transparent umbrella | 480 360 720 500
        woman | a woman in a beige coat walking | 540 430 650 900
        tram | a red tram | 40 300 420 740""",
    "no cars, only bicycles: five bicycles leaning against a yellow wall": """
        bicycle | a black bicycle | 40 600 200 800
        bicycle | a red bicycle | 230 600 390 800
        bicycle | a green bicycle | 420 600 580 800
        bicycle | a white bicycle | 610 600 770 800
        bicycle | a blue bicycle | 800 600 960 800""",
    "a giant rubber duck floats past tiny houses": """
        duck | a giant yellow rubber duck floating | 300 250 700 800
        house | a tiny house on the shore | 60 420 150 520
        house | a tiny house on the shore | 780 410 870 510
        house | a tiny red house on the shore | 890 430 960 515""",
    "a child hands a flower to an elephant through the bars": """
        flower | a yellow flower | 420 560 460 620
        child | a child reaching out | 260 560 400 920
        elephant | an elephant with its trunk stretched out | 480 200 960 880""",
    "snowy owl perched on a signpost, pine trees behind, full moon above": """
        owl | a snowy owl perched on a signpost | 430 240 560 460
        signpost | a wooden signpost | 440 450 560 950
        pine tree | a snowy pine tree | 80 300 280 800
        pine tree | a snowy pine tree | 700 280 920 800
        moon | a full moon | 620 60 740 180""",
    "the left mug is red, the right mug is green, steam rises from both": """
        mug | a red mug with steam | 160 450 400 720
        mug | a green mug with steam | 600 450 840 720""",
    "a bird's nest with three speckled eggs on a branch": """
        egg | a speckled egg | 380 480 450 550
        egg | a speckled egg | 460 490 530 560
        egg | a speckled egg | 540 480 610 550
        nest | a bird's nest of twigs | 280 460 720 680
        branch | a mossy branch | 40 640 960 760""",
    "aerial view of a parking lot with six cars, two of them red": """
        car | a red car seen from above | 100 100 220 300
        car | a red car seen from above | 400 100 520 300
        car | a white car seen from above | 700 100 820 300
        car | a black car seen from above | 100 600 220 800
        car | a grey car seen from above | 400 600 520 800
        car | a blue car seen from above | 700 600 820 800""",
    "A cyclist waits at a red traffic light, a delivery van behind him": """
        cyclist | a cyclist in a yellow jacket on a bicycle | 380 420 540 880
        van | a white delivery van | 560 320 960 800
        traffic light | a traffic light showing red | 120 80 200 300""",
    "a grandmother knitting in a rocking chair, a ball of red wool at her feet, a sleeping dog": """
        wool | a ball of red wool | 300 860 360 920
        dog | a brown dog sleeping on the rug | 600 780 880 900
        grandmother | a grandmother knitting, sitting | 340 330 560 820
        rocking chair | a wooden rocking chair | 310 350 600 880""",
    "two hot air balloons over a vineyard, one striped, one plain blue": """
        balloon | a striped red and white hot air balloon | 120 80 380 430
        balloon | a plain blue hot air balloon | 620 160 800 400""",
    "A black cat crossing an empty street at night under a full moon": """
        cat | a black cat walking | 400 720 560 830
        moon | a full white moon | 700 70 800 170""",
    "the dog chases the cat and the cat chases the mouse": """
        mouse | a grey mouse running | 80 800 160 850
        cat | a tabby cat running | 260 680 460 860
        dog | a brown dog running | 560 580 900 870""",
    "breakfast table: coffee, croissant, orange juice, newspaper to the right": """
        coffee | a cup of coffee | 180 560 330 720
        croissant | a golden croissant on a plate | 380 640 580 780
        orange juice | a glass of orange juice | 620 440 700 680
        newspaper | a folded newspaper | 740 560 960 820""",
    "a giant squid attacks a tiny wooden ship in a storm": """
        squid | a giant red squid rising from the waves | 200 250 800 900
        ship | a tiny wooden ship | 420 160 560 330""",
    "photo of a man in a grey suit shaking hands with a woman in a red dress": """
        man | a man in a grey suit | 200 200 440 940
        woman | a woman in a red dress | 520 230 740 940""",
    "three monkeys: one covers its eyes, one its ears, one its mouth": """
        monkey | a monkey covering its eyes | 80 420 320 820
        monkey | a monkey covering its ears | 380 420 620 820
        monkey | a monkey covering its mouth | 680 420 920 820""",
    "A lone tree on a hill, a swing hanging from its branch, fireflies everywhere": """
        swing | a wooden swing hanging on ropes | 560 480 640 720
        tree | a lone oak tree | 300 100 760 820""",
    "an open suitcase full of clothes on a bed next to a sleeping cat": """
        cat | a white cat asleep on the bed | 620 480 800 600
        suitcase | an open suitcase full of clothes | 220 400 560 620
        bed | a bed with white sheets | 60 420 960 900""",
    "A wizard's desk seen from above: a skull, a candle, two scrolls and a green potion": """
        skull | a human skull | 150 200 330 400
        candle | a burning candle seen from above | 480 160 560 240
        scroll | a rolled paper scroll | 160 600 460 700
        scroll | an open paper scroll | 560 560 860 860
        potion | a bottle of green potion | 700 180 800 300""",
    "kids playing football in the rain, the goalkeeper wears yellow gloves": """
        football | a wet football | 460 780 510 830
        child | a boy in a blue shirt running | 300 480 420 840
        child | a girl in a red shirt kicking | 540 470 680 850
        goalkeeper | a goalkeeper with yellow gloves | 760 380 860 620""",
    "a white rabbit with a pocket watch hurries past a mushroom": """
        watch | a golden pocket watch | 440 560 500 630
        rabbit | a white rabbit in a waistcoat | 340 320 560 860
        mushroom | a tall red mushroom with white dots | 660 420 860 860""",
    "A food truck selling tacos, four customers in line, a neon sign above the window": """
        man | a man waiting in line | 90 480 180 900
        woman | a woman waiting in line | 200 490 280 890
        man | a man with a cap waiting in line | 300 480 390 900
        woman | a woman with a bag waiting in line | 400 490 480 890
        neon sign | a neon sign that says TACOS | 600 200 800 280
        food truck | a red food truck | 460 220 980 820""",
    "an elephant painted blue walks in front of a temple, people on its back": """
        woman | a woman sitting on the elephant's back | 430 220 500 380
        man | a man sitting on the elephant's back | 520 210 590 380
        elephant | an elephant painted blue | 300 330 760 860
        temple | a stone temple | 100 80 900 620""",
    "sunrise at the harbour, a fishing boat left of the pier, gulls on the posts": """
        gull | a gull standing on a post | 640 440 680 490
        gull | a gull standing on a post | 760 430 800 480
        boat | a small fishing boat | 120 520 400 660
        pier | a wooden pier | 560 480 900 760""",
    "Two chairs facing each other with a chessboard on a small table between them": """
        chessboard | a chessboard with pieces | 420 540 580 600
        table | a small round table | 400 580 600 800
        chair | a wooden chair facing right | 130 440 330 860
        chair | a wooden chair facing left | 670 440 870 860""",
    "a robot waters flowers on a balcony; city towers in the distance": """
        watering can | a metal watering can | 420 480 540 580
        robot | a friendly robot | 220 260 440 900
        flower pot | a pot of red flowers | 560 640 680 820
        flower pot | a pot of yellow flowers | 720 640 840 820""",
    "a blue bird's egg in the palm of a hand": """
        egg | a blue bird's egg | 440 440 560 560
        hand | an open hand | 200 380 800 820""",
}


def good_plans() -> list[tuple[str, Layout]]:
    """Each text with its plan, 768 x 768 pixels."""
    return [(text, _layout(text, lines)) for text, lines in GOOD_PLANS.items()]


def _layout(text: str, lines: str) -> Layout:
    instances = []
    for depth, line in enumerate(lines.strip().splitlines()):
        category, caption, corners = (part.strip() for part in line.split("|"))
        x0, y0, x1, y1 = (int(corner) / 1000 for corner in corners.split())
        instances.append(
            Instance(
                id=f"{category.replace(' ', '_')}_{depth + 1}",
                category=category,
                caption=caption,
                box=Box(x0=x0, y0=y0, x1=x1, y1=y1),
                depth=depth,
            )
        )
    return Layout(version=1, caption=text, width=768, height=768, instances=tuple(instances))
