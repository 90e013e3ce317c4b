"""The CT studies: one chest over three years with its report, and two heads of the emergency ward."""

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from generator import cast, documents, head
from generator.modules import Series, decimal, grey, instance, plane, put
from generator.samples import Sample, sample
from generator.shapes import Array, Grid, ramp
from generator.thorax import NODULE, Thorax

READER = "MARCHAND^Sophie^^Dr"
CT64 = {"model": "Tomis 64", "station": "RIVCT02"}
CHEST = Grid.centred(256, 256, 1.36, 12)


def _slice(series: Series, number: int, hu: Array, z: float, pixel_mm: float, thickness_mm: float) -> Dataset:
    """A CT slice, its values as the scanner stores them: from -1024 HU in 12 bits."""
    ds = instance(
        series,
        number,
        CTImageStorage,
        ImageType=["ORIGINAL", "PRIMARY", "AXIAL"],
        PatientPosition="HFS",
        AcquisitionNumber=1,
        AcquisitionDate=series.study.date,
        AcquisitionTime=series.study.time,
        KVP="120",
        ScanOptions="HELICAL MODE",
        DataCollectionDiameter="500",
        ReconstructionDiameter=decimal(pixel_mm * hu.shape[1]),
        GantryDetectorTilt="0",
        TableHeight="162",
        RotationDirection="CW",
        ExposureTime="500",
        XRayTubeCurrent="210",
        Exposure="105",
        FilterType="BODY",
        ConvolutionKernel="B30F",
        RescaleIntercept="-1024",
        RescaleSlope="1",
        RescaleType="HU",
    )
    corner = (-(hu.shape[1] - 1) / 2 * pixel_mm, 12 - (hu.shape[0] - 1) / 2 * pixel_mm, -z)
    plane(ds, corner, pixel_mm, thickness_mm)
    return grey(ds, np.clip(np.rint(hu) + 1024, 0, 4095).astype(np.uint16), 12)


def _chest_windows(ds: Dataset) -> None:
    put(ds, WindowCenter=["40", "-600"], WindowWidth=["400", "1500"], WindowCenterWidthExplanation=["TISSUS", "POUMON"])


def chest_2024() -> Iterator[Sample]:
    """Forty slices, native, with contrast medium; then measurement, key images, report and letter."""
    study = cast.MOREAU_2024
    series = Series(
        study,
        2,
        "CT",
        "Thorax 5.0 B30f injecté",
        **CT64,
        body_part="CHEST",
        protocol="Thorax injecté",
        operator="CARON^Julie",
    )
    patient = Thorax(1, contrast=205, nodule_mm=15)
    slices = []
    for number in range(1, 41):
        z = 10 + (number - 1) * 6.0
        ds = _slice(series, number, patient.plane(CHEST, z), z, 1.36, 5.0)
        _chest_windows(ds)
        put(ds, ContrastBolusAgent="Iohexol 350", ContrastBolusVolume="90", SpacingBetweenSlices="6")
        slices.append(ds)
        yield sample(study, f"ct_{number:03d}", ds)
    yield from _chest_documents(slices)


def _chest_documents(slices: list[Dataset]) -> Iterator[Sample]:
    study = cast.MOREAU_2024
    largest = min(slices, key=lambda ds: abs(-float(ds.SliceLocation) - NODULE[2]))
    column, row = (NODULE[0] / 1.36 + 127.5), ((NODULE[1] - 12) / 1.36 + 127.5)
    ends = (column - 5.2 + 0.5, row + 0.5, column + 5.6 + 0.5, row + 1.5)
    paper = {"manufacturer": "Relais Samples", "model": "Compte rendu", "station": "RIVSR01"}
    measured = Series(study, 90, "SR", "Mesures", **paper)
    yield sample(study, "sr_measurements", documents.measurements(measured, largest, ends, "15", READER))
    reported = Series(study, 91, "SR", "Compte rendu", **paper)
    yield sample(study, "sr_report", documents.report(reported, READER, REPORT))
    keys = Series(study, 92, "KO", "Images clés", **paper)
    yield sample(study, "ko_key_images", documents.key_images(keys, [largest], "Nodule du lobe supérieur droit"))
    post = Series(study, 93, "DOC", "Courrier", **paper)
    yield sample(study, "pdf_letter", documents.letter(post, "Courrier au médecin traitant", LETTER))


def chest_priors() -> Iterator[Sample]:
    """The same chest one and three years earlier, when the nodule was smaller; compressed without loss."""
    for study, nodule_mm, syntax in (
        (cast.MOREAU_2021, 6.0, JPEGLSLossless),
        (cast.MOREAU_2022, 10.0, JPEG2000Lossless),
    ):
        series = Series(
            study, 2, "CT", "Thorax 5.0 B30f", **CT64, body_part="CHEST", protocol="Thorax", operator="CARON^Julie"
        )
        patient = Thorax(1, nodule_mm=nodule_mm)
        for number in range(1, 7):
            z = NODULE[2] - 15 + (number - 1) * 6.0
            ds = _slice(series, number, patient.plane(CHEST, z), z, 1.36, 5.0)
            _chest_windows(ds)
            yield sample(study, f"ct_{number:03d}", ds, syntax)


def head_with_bleed() -> Iterator[Sample]:
    """A bleed in the left hemisphere; RLE; a patient whose name is Cyrillic."""
    study = cast.IVANENKO_2024
    series = Series(
        study, 2, "CT", "Crane 5.0 H30s", **CT64, body_part="HEAD", protocol="Crane urgence", operator="NOEL^Hugo"
    )
    patient = head.Head(3, head.CT, head.BLEED)
    for number in range(1, 9):
        z = 20 + (number - 1) * 8.0
        ds = _slice(series, number, patient.plane(Grid.centred(224, 224, 0.9), z), z, 0.9, 5.0)
        put(ds, WindowCenter="38", WindowWidth="80")
        yield sample(study, f"ct_{number:03d}", ds, RLELossless)


def perfusion_map() -> Iterator[Sample]:
    """A colour map with a palette, deflated; a patient without a birth date and with a name of one component."""
    study = cast.UNKNOWN_2024
    series = Series(study, 5, "CT", "Débit sanguin cérébral", model="Tomis Perfusion", station="RIVCT02")
    ds = instance(
        series,
        1,
        SecondaryCaptureImageStorage,
        ImageType=["DERIVED", "SECONDARY"],
        ConversionType="WSD",
        PatientOrientation="",
        BodyPartExamined="HEAD",
    )
    brain = head.Head(8, PERFUSION)
    values = np.clip(brain.plane(Grid.centred(240, 240, 0.8), 62), 0, 255)
    grid = Grid.centred(240, 240, 0.8)
    low = ramp(np.sqrt((grid.x - 40) * (grid.x - 40) + (grid.y + 8) * (grid.y + 8)), 34, 16)
    grey(ds, np.rint(values * (1 - 0.72 * low)).astype(np.uint8), 8, "PALETTE COLOR")
    for colour, ramp_of in zip(("Red", "Green", "Blue"), _rainbow(), strict=True):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", ramp_of.astype("<u2").tobytes())
    yield sample(study, "sc_perfusion", ds, DeflatedExplicitVRLittleEndian)


def _rainbow() -> tuple[Array, Array, Array]:
    """Black, blue, cyan, green, yellow, red, in 256 steps of 16 bits."""
    place = np.arange(256) / 255 * 5
    corners = np.array([(0, 0, 0), (20, 30, 190), (0, 190, 220), (30, 190, 60), (250, 220, 40), (225, 30, 20)])
    lower = np.minimum(place.astype(int), 4)
    share = (place - lower).reshape(-1, 1)
    mixed = np.rint(corners[lower] + (corners[lower + 1] - corners[lower]) * share).astype(int) * 257
    return mixed[:, 0], mixed[:, 1], mixed[:, 2]


PERFUSION = head.Tissues(air=0, fat=0, bone=0, marrow=0, csf=18, grey=190, white=92, lesion=30, noise=9)

REPORT = [
    (("18785-6", "LN", "Reason for study"), "Surveillance d'un nodule du lobe supérieur droit connu depuis 2021."),
    (
        ("55111-9", "LN", "Current imaging procedure descriptions"),
        "Acquisition hélicoïdale après injection de 90 mL de produit de contraste iodé. Reconstructions de 5 mm.",
    ),
    (
        ("59776-5", "LN", "Procedure findings"),
        "Nodule plein du lobe supérieur droit mesuré à 15 mm de grand axe (6 mm en mai 2021, 10 mm en novembre 2022). "
        "Pas d'adénomégalie médiastinale. Pas d'épanchement pleural. Pas de lésion osseuse suspecte.",
    ),
    (
        ("19005-8", "LN", "Radiology Imaging study [Impression]"),
        "Augmentation de taille du nodule : avis en réunion de concertation pluridisciplinaire souhaitable.",
    ),
]

LETTER = [
    "CHU de Rivemont - Service d'imagerie thoracique",
    "Rivemont, le 12 juin 2024",
    "",
    "Concerne:",
    "Madame Isabelle MOREAU, née le 14 mars 1958",
    "",
    "Chère consoeur,",
    "",
    "Je vous remercie de m'avoir adressé votre patiente pour la surveillance d'un nodule pulmonaire.",
    "Le scanner de ce jour montre une augmentation de taille du nodule du lobe supérieur droit,",
    "mesuré à 15 mm contre 10 mm en novembre 2022 et 6 mm en mai 2021.",
    "",
    "Conclusion:",
    "Le dossier sera présenté en réunion de concertation pluridisciplinaire le 20 juin.",
    "",
    "Bien confraternellement,",
    "Dr Sophie MARCHAND",
    "",
    "(Document d'exemple : personnes, lieux et chiffres sont inventés.)",
]
