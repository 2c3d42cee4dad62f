"""Invented names, so that a model learns to copy a payee and cannot learn the payees themselves."""

from random import Random

_ONSETS = (
    "b b bl br c c d d f g h h j k k l l m m n n p p r r s s t t v v w z "
    "bl br ch cl cr d dr f fl fr g gh gl gr gw h hj hr j k kh kl kn kr kw l ll m mb n nd ng nk ny p ph pl pr ps "
    "pt qu r rh s sc sch sh sk sl sm sn sp squ st str sz szcz t th tl tr ts tw v vl w wh wr x y z zb zh ð đ č ł ś ş ž"
).split()
_VOWELS = [
    *("a e i o u".split() * 12),
    *"y ae ai au ea ee ei eu ia ie io oa oi oo ou ue á à ã å ä é è ê í ı î ó ô ö ø ú ü ý ğu ụ ạ".split(),
]
_CODAS = (
    " b c ch ck d dt f ff ft g gh h k ks l ld lf lk ll lm lt m mb mp n nce nd ng nk ns nt p ph r rd rg rk rl rm rn rs "
    "rt s sh sk sm ss st t tch th ts tt v w x xt y z ń ż ğ"
).split(" ")
_MARKS = ("-", "'", "")
_TRADES = (
    "Bank Bikes Books Brewery Builders Café Cars Choir Cleaners Clinic Club Coffee Company Dairy Dental Designs Farm "
    "Films Fitness Florist Foods Garage Garden Glass Group Gym Hotel Insurance Joinery Kitchen Lodge Logistics Ltd "
    "Market Motors Museum Optics Pharmacy Pottery Press Records School Sons Sports Stables Studio Tailors Tea Tiles "
    "Tours Toys Travel Trust Tyres Vets Vintners Works Yachts"
).split()
_PLAIN = (
    "Amber Anchor Arrow Badger Barrel Bright Candle Cedar Clever Clover Copper Coral Cosy Crane Dapper Ember Falcon "
    "Feather Fern Flint Foxglove Gable Gentle Ginger Hazel Heron Hollow Indigo Iron Ivy Juniper Kettle Lantern Lemon "
    "Little Lucky Maple Marble Meadow Merry Mill Misty Nutmeg Oak Old Olive Otter Pepper Pine Plum Quiet Raven Red "
    "River Rusty Saddle Salty Silver Slate Sparrow Spice Stone Sunny Swift Thirsty Velvet Walnut Wander Willow Yellow"
).split()


def invented_payee(rng: Random) -> str:
    """Return a person's or a firm's name that nobody has."""
    kind = rng.random()
    if kind < 0.6:
        title = rng.choice(("Dr. ", "Mr ", "Mrs ", "Prof. ", "St. ")) if rng.random() < 0.08 else ""
        return title + " ".join(_word(rng) for _ in range(rng.choice((1, 2, 2, 2, 2, 3))))
    if kind < 0.75:
        return f"{_word(rng)} {rng.choice(_TRADES)}"
    if kind < 0.85:
        return f"{'The ' if rng.random() < 0.3 else ''}{rng.choice(_PLAIN)} {rng.choice((*_PLAIN, *_TRADES))}"
    if kind < 0.93:
        return f"{rng.choice((*_PLAIN, _word(rng)))} & {rng.choice((*_PLAIN, _word(rng)))} {rng.choice(_TRADES)}"
    return f"{_word(rng)}'s {rng.choice(_TRADES)}"


def _word(rng: Random) -> str:
    made = "".join(_syllable(rng) for _ in range(rng.choice((1, 2, 2, 2, 3, 3, 4))))
    if rng.random() < 0.1:
        made += rng.choice(_MARKS) + "".join(_syllable(rng) for _ in range(2)).title()
    return made[0].upper() + made[1:]


def _syllable(rng: Random) -> str:
    onset = "" if rng.random() < 0.15 else rng.choice(_ONSETS)
    return onset + rng.choice(_VOWELS) + (rng.choice(_CODAS) if rng.random() < 0.45 else "")
