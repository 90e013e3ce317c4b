"""Eight invented hospitals over ten years: every study a pure function of its number. Knows attributes, no index.

Surnames, given names, modalities and the number of series and instances are distributed as in a French hospital group,
as far as public figures tell; no person, institution or device exists.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from itertools import accumulate
from random import Random

from relais.dicom.json_model import JsonDataset
from relais.dicom.layout import Layout
from relais.dicom.origin import Channel, Origin
from relais.dicom.refs import InstanceRef
from relais.index.rows import InstanceFacts
from relais.storage.layout import instance_key

STUDIES, PATIENTS, DAYS = 980_000, 600_000, 3650
FIRST_DAY = date(2016, 1, 1)
HOSPITALS = ("RIVEMONT", "VALDORME", "BELAIR", "MONTCLAR", "SAINTELOI", "AUBEPIN", "LERMITAGE", "PORTNEUF")


def _words(text: str) -> list[str]:
    return text.split()


_COMMON = _words(
    "MARTIN BERNARD THOMAS PETIT ROBERT RICHARD DURAND DUBOIS MOREAU LAURENT SIMON MICHEL LEFÈBVRE LEROY ROUX DAVID "
    "BERTRAND MOREL FOURNIER GIRARD BONNET DUPONT LAMBERT FONTAINE ROUSSEAU VINCENT MULLER LEFÈVRE FAURE ANDRÉ MERCIER "
    "BLANC GUÉRIN BOYER GARNIER CHEVALIER FRANÇOIS LEGRAND GAUTHIER GARCIA PERRIN ROBIN CLÉMENT MORIN NICOLAS HENRY "
    "ROUSSEL MATHIEU GAUTIER MASSON MARCHAND DUVAL DENIS DUMONT MARIE LEMAIRE NOËL MEYER DUFOUR MEUNIER BRUN BLANCHARD "
    "GIRAUD JOLY RIVIÈRE LUCAS BRUNET GAILLARD BARBIER ARNAUD MARTINEZ GÉRARD ROCHE RENARD SCHMITT ROY LEROUX COLIN "
    "VIDAL CARON PICARD ROGER FABRE AUBERT LEMOINE RENAUD DUMAS LACROIX OLIVIER PHILIPPE BOURGEOIS PIERRE BENOÎT REY "
    "LECLERC PAYET ROLLAND LECLERCQ GUILLAUME LECOMTE LOPEZ JEAN DUPUY GUILLOT HUBERT BERGER CARPENTIER SANCHEZ DUPUIS "
    "MOULIN LOUIS DESCHAMPS HUET VASSEUR PEREZ BOUCHER FLEURY ROYER KLEIN JACQUET ADAM PARIS POIRIER MARTY AUBRY GUYOT "
    "CARRÉ CHARLES RENAULT CHARPENTIER MÉNARD MAILLARD BARON BERTIN BAILLY HERVÉ SCHNEIDER FERNANDEZ COLLET LÉGER "
    "BOUVIER JULIEN PRÉVOST MILLET PERROT DANIEL COUSIN GERMAIN BRETON BESSON LANGLOIS RÉMY NGUYEN PELLETIER LÉVÊQUE "
    "PERRIER LEBLANC BARRÉ LEBRUN MARCHAL WEBER MALLET HAMON BOULANGER JACOB MONNIER MICHAUD GUICHARD POULAIN "
    "ETIENNE HOARAU"
)
_BEGINNINGS = _words(
    "BAR BEL BON BOUR CAS CHA COR DES DEL FER FON GAR GRA HER JOU LAN LAR MAL MAR MON NOU PER POU RAM SAU VAL"
)
_MIDDLES = _words("A BE CHE DI FAU GUE LA LE MI NE PE RI RO SE TE VI ZE ÉRÉ ÈGE OÎ")
_ENDINGS = _words("ARD AULT EAU EL ER ET IER IN OIS ON OT OUX UC Y AC AS ENT IÈRE")
_GIVEN = _words(
    "Marie Jean Pierre Michel André Jeanne Philippe Alain Monique Catherine Nathalie Isabelle Jacqueline Anne Sylvie "
    "Françoise Martine Christine Nicole Valérie Sophie Sandrine Stéphanie Céline Véronique Patrick Nicolas Christophe "
    "Daniel Bernard Christian Laurent Frédéric Éric Stéphane David Pascal Sébastien Thierry Olivier Thomas Alexandre "
    "Julien Vincent François Claude Jacques Gérard René Marcel Louis Henri Roger Georges Robert Lucien Émile Zoé Chloé "
    "Léa Manon Inès Jade Louise Alice Emma Lina Camille Sarah Lucie Clara Anaïs Noémie Mathilde Pauline Marion Élodie "
    "Aurélie Mélanie Émilie Laëtitia Gaëlle Maëlys Hugo Lucas Théo Enzo Mathis Nathan Clément Maxime Antoine Quentin "
    "Romain Kévin Jérémy Benoît Jérôme Rémi Loïc Gaël Raphaël Mohamed Fatima Ahmed Yasmine Karim Leïla Joël Noël"
)
_IDEOGRAPHIC = ("山田^太郎", "田中^花子", "王^小明", "김^철수", "阮^文安")


@dataclass(frozen=True)
class Kind:
    """A kind of examination: how often it is, what it is called, how many series and instances it has."""

    weight: int
    modality: str
    sop_class_uid: str
    descriptions: tuple[str, ...]
    series: tuple[int, int]
    companion: str = ""  # the modality of a last series that is no image


_STORAGE = "1.2.840.10008.5.1.4.1.1."
_BODY = _words("THORAX ABDOMEN BASSIN GENOU ÉPAULE CHEVILLE MAIN RACHIS CRÂNE HANCHE POIGNET COUDE PIED")


def _named(what: str, *how: str) -> tuple[str, ...]:
    return tuple(f"{what} {part} {one}".strip() for part in _BODY for one in how)


KINDS = (
    Kind(300, "DX", f"{_STORAGE}1.1", _named("RADIOGRAPHIE", "FACE", "FACE PROFIL"), (1, 3)),
    Kind(60, "CR", f"{_STORAGE}1", _named("RX", ""), (1, 2)),
    Kind(220, "CT", f"{_STORAGE}2", _named("TDM", "SANS INJECTION", "INJECTÉ", "TAP"), (3, 8), "SR"),
    Kind(150, "MR", f"{_STORAGE}4", _named("IRM", "T1 T2", "GADO", "DIFFUSION"), (4, 9)),
    Kind(190, "US", f"{_STORAGE}6.1", _named("ÉCHOGRAPHIE", "", "DOPPLER"), (1, 1)),
    Kind(45, "MG", f"{_STORAGE}1.2", ("MAMMOGRAPHIE BILATÉRALE", "MAMMOGRAPHIE DÉPISTAGE"), (1, 4), "PR"),
    Kind(15, "XA", f"{_STORAGE}12.1", ("CORONAROGRAPHIE", "ARTÉRIOGRAPHIE"), (2, 8)),
    Kind(12, "PT", f"{_STORAGE}128", ("TEP FDG CORPS ENTIER",), (2, 5), "CT"),
    Kind(8, "NM", f"{_STORAGE}20", ("SCINTIGRAPHIE OSSEUSE", "SCINTIGRAPHIE THYROÏDE"), (1, 3)),
)
_COMPANION_CLASSES = {"SR": f"{_STORAGE}88.67", "PR": f"{_STORAGE}11.1", "CT": f"{_STORAGE}2"}
_WEIGHTS = list(accumulate(kind.weight for kind in KINDS))


@dataclass(frozen=True)
class Study:
    """What a search can ask for of one study."""

    number: int
    uid: str
    day: str
    time: str
    patient: int
    patient_id: str
    patient_name: str
    accession: str
    kind: Kind
    description: str


def uid(*path: object) -> str:
    """A UID as devices make them, the same for the same *path*."""
    digest = hashlib.blake2b(repr(path).encode(), digest_size=12).digest()
    return f"1.2.826.0.1.3680043.10.1559.{int.from_bytes(digest[:6], 'big')}.{int.from_bytes(digest[6:], 'big')}"


@cache
def _surnames() -> list[str]:
    """Common ones, and thousands of rare ones."""
    made = [a + b + c for a in _BEGINNINGS for b in _MIDDLES for c in _ENDINGS]
    Random(7).shuffle(made)
    return _COMMON + made


def _surname(rnd: Random) -> str:
    """A common one for every third person."""
    names = _surnames()
    return names[int(len(_COMMON) * rnd.random() ** 1.5)] if rnd.random() < 0.35 else rnd.choice(names)


def patient_name(patient: int) -> str:
    """`Surname^Given`, some compound, a few with ideographic groups."""
    rnd = Random(f"name {patient}")
    surname, given = _surname(rnd), rnd.choice(_GIVEN)
    if rnd.random() < 0.08:
        surname += "-" + _surname(rnd)
    if rnd.random() < 0.12:
        given += "-" + rnd.choice(_GIVEN)
    name = f"{surname}^{given}"
    return f"{name}={_IDEOGRAPHIC[patient % len(_IDEOGRAPHIC)]}" if rnd.random() < 0.004 else name


def physician(number: int) -> str:
    """One of some thousands."""
    rnd = Random(f"physician {number}")
    return f"{_surname(rnd)}^{rnd.choice(_GIVEN)}^^DR"


def study(number: int) -> Study:
    """The study of that number; later numbers are younger, give or take three weeks."""
    rnd = Random(number)
    newest = number * PATIENTS // STUDIES
    is_new = number == 0 or newest != (number - 1) * PATIENTS // STUDIES
    patient = newest if is_new else rnd.randrange(newest + 1)
    day = FIRST_DAY + timedelta(days=number * DAYS // STUDIES + rnd.randrange(-20, 21))
    hour = min(23, max(0, int(rnd.gauss(12.5, 4))))
    kind = rnd.choices(KINDS, cum_weights=_WEIGHTS)[0]
    hospital = patient % len(HOSPITALS)
    return Study(
        number,
        uid("study", number),
        f"{day:%Y%m%d}",
        f"{hour:02d}{rnd.randrange(60):02d}{rnd.randrange(60):02d}",
        patient,
        f"{HOSPITALS[hospital][0]}{patient * 7919 % 100_000_007:08d}",
        patient_name(patient),
        f"{HOSPITALS[hospital][:3]}{number:09d}",
        kind,
        rnd.choice(kind.descriptions),
    )


def facts_of(number: int) -> Iterator[InstanceFacts]:
    """One instance for each series of a study, the first series first."""
    one, rnd = study(number), Random(f"series {number}")
    top = _study_attributes(one, rnd)
    count = rnd.randint(*one.kind.series)
    for series in range(1, count + 1):
        yield _facts(one, top, series, one.kind.modality, one.kind.sop_class_uid)
    if one.kind.companion and rnd.random() < 0.4:
        modality = one.kind.companion
        yield _facts(one, top, count + 1, modality, _COMPANION_CLASSES[modality])


def _study_attributes(one: Study, rnd: Random) -> JsonDataset:
    birth = 1930 + one.patient % 90
    alphabetic, _, ideographic = one.patient_name.partition("=")
    name = {"Alphabetic": alphabetic} | ({"Ideographic": ideographic} if ideographic else {})
    return {
        "00080020": _element("DA", one.day),
        "00080030": _element("TM", one.time),
        "00080050": _element("SH", one.accession),
        "00080090": _element("PN", {"Alphabetic": physician(rnd.randrange(4000))}),
        "00081030": _element("LO", one.description),
        "00100010": _element("PN", name),
        "00100020": _element("LO", one.patient_id),
        "00100021": _element("LO", HOSPITALS[one.patient % len(HOSPITALS)]),
        "00100030": _element("DA", f"{birth}{1 + one.patient % 12:02d}{1 + one.patient % 28:02d}"),
        "00100040": _element("CS", "FM"[one.patient % 2]),
        "00101010": _element("AS", f"{int(one.day[:4]) - birth:03d}Y"),
        "00200010": _element("SH", str(one.number % 100_000)),
    }


def _facts(one: Study, top: JsonDataset, series: int, modality: str, sop_class_uid: str) -> InstanceFacts:
    ref = InstanceRef(one.uid, uid("series", one.number, series), uid("instance", one.number, series))
    hospital = HOSPITALS[one.patient % len(HOSPITALS)]
    time = f"{(int(one.time) // 10000 + series // 60) % 24:02d}{(series * 7) % 60:02d}{series % 60:02d}"
    ds = top | {
        "00080008": _element("CS", "ORIGINAL", "PRIMARY", "AXIAL"),
        "00080016": _element("UI", sop_class_uid),
        "00080018": _element("UI", ref.sop_instance_uid),
        "00080021": _element("DA", one.day),
        "00080031": _element("TM", time),
        "00080023": _element("DA", one.day),
        "00080033": _element("TM", time),
        "00080060": _element("CS", modality),
        "00080070": _element("LO", "Borea Medical"),
        "00080080": _element("LO", f"CH de {hospital.title()}"),
        "00081010": _element("SH", f"{hospital[:3]}{modality}{one.patient % 4:02d}"),
        "0008103E": _element("LO", f"{one.description.split()[-1].title()} {series}.0 B30f"),
        "00081090": _element("LO", f"Tomis {16 << one.patient % 4}"),
        "00180015": _element("CS", "CHEST"),
        "0020000D": _element("UI", ref.study_instance_uid),
        "0020000E": _element("UI", ref.series_instance_uid),
        "00200011": _element("IS", series),
        "00200013": _element("IS", 1),
        "00280002": _element("US", 1),
        "00280004": _element("CS", "MONOCHROME2"),
        "00280010": _element("US", 512),
        "00280011": _element("US", 512),
        "00280100": _element("US", 16),
        "00280101": _element("US", 12),
        "00400244": _element("DA", one.day),
        "00400245": _element("TM", one.time),
    }
    digest = hashlib.blake2b(ref.sop_instance_uid.encode()).digest()
    return InstanceFacts(
        ref,
        sop_class_uid,
        "1.2.840.10008.1.2.1",
        ds,
        instance_key(ref, digest[:4].hex()),
        526_000,
        digest[:32],
        digest[32:],
        Layout(1100, 2200, None),
        Origin(Channel.DIMSE, f"192.0.2.{one.patient % 40}", f"{hospital[:3]}{modality}", "RELAIS"),
        1.5e9 + one.number * 300,
    )


def _element(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)}
