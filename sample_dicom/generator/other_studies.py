"""Ultrasound, radiographs and an angiogram."""

from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
)

from generator import angiogram, cast, radiograph, ultrasound
from generator.modules import Series, code, colour, dataset, grey, instance, put
from generator.samples import Sample, sample
from generator.thorax import Thorax


def _regions(rows: int, columns: int, mm_per_pixel: float, flow: bool) -> list[Dataset]:
    """The calibrated part of an ultrasound picture (PS3.3 C.8.5.5)."""
    return [
        dataset(
            RegionSpatialFormat=1,
            RegionDataType=2 if flow else 1,
            RegionFlags=2,
            RegionLocationMinX0=0,
            RegionLocationMinY0=0,
            RegionLocationMaxX1=columns - 1,
            RegionLocationMaxY1=rows - 1,
            PhysicalUnitsXDirection=3,
            PhysicalUnitsYDirection=3,
            PhysicalDeltaX=mm_per_pixel / 10,
            PhysicalDeltaY=mm_per_pixel / 10,
        )
    ]


def abdomen() -> Iterator[Sample]:
    """A child's abdomen: one native RGB picture, and one with colour flow as JPEG in YBR_FULL_422."""
    study = cast.LECOEUR_2024
    series = Series(
        study,
        1,
        "US",
        "Foie et rein droit",
        model="Sonea X8",
        station="RIVUS03",
        body_part="ABDOMEN",
        operator="PICARD^Léa",
    )
    rows, columns = 300, 400
    for number, flow in ((1, False), (2, True)):
        ds = instance(
            series,
            number,
            UltrasoundImageStorage,
            ImageType=["ORIGINAL", "PRIMARY", "ABDOMINAL", "0011" if flow else "0001"],
            PatientOrientation="",
            SequenceOfUltrasoundRegions=_regions(rows, columns, 130 / rows, flow),
            LossyImageCompression="00",
        )
        colour(ds, ultrasound.abdomen(rows, columns, 4, flow))
        name = "us_flow" if flow else "us_rgb"
        yield sample(study, name, ds, *([JPEGBaseline8Bit] if flow else []))


def heartbeat() -> Iterator[Sample]:
    """One beat of a heart in 16 frames, colour JPEG; a patient whose name is Chinese in GB18030."""
    study = cast.CHEN_2024
    series = Series(
        study,
        1,
        "US",
        "4 cavites couleur",
        model="Sonea C5",
        station="VDOUS01",
        body_part="HEART",
        operator="FAURE^Nicolas",
    )
    rows, columns, count = 240, 320, 16
    ds = instance(
        series,
        1,
        UltrasoundMultiFrameImageStorage,
        ImageType=["ORIGINAL", "PRIMARY", "ADULT ECHO", "0011"],
        PatientOrientation="",
        NumberOfFrames=count,
        FrameIncrementPointer=0x00181063,
        FrameTime="50",
        CineRate=20,
        RecommendedDisplayFrameRate=20,
        HeartRate="75",
        SequenceOfUltrasoundRegions=_regions(rows, columns, 160 / rows, True),
    )
    colour(ds, np.stack([ultrasound.heart(rows, columns, 7, (number / count + 0.25) % 1) for number in range(count)]))
    yield sample(study, "us_cine", ds, JPEGBaseline8Bit)


def chest_radiograph() -> Iterator[Sample]:
    """A chest from the front as MONOCHROME1: low values are white; implicit VR."""
    study = cast.GARNIER_2023
    series = Series(
        study,
        1,
        "CR",
        "Face",
        model="Radia CR12",
        station="VDOCR01",
        body_part="CHEST",
        protocol="Thorax face",
        operator="LEROY^Sabine",
    )
    ds = instance(
        series,
        1,
        ComputedRadiographyImageStorage,
        ImageType=["ORIGINAL", "PRIMARY"],
        ViewPosition="PA",
        PatientOrientation=["L", "F"],
        KVP="125",
        PlateType="IP 35x43",
        ImagerPixelSpacing=["0.9", "0.9"],
        WindowCenter="1950",
        WindowWidth="3900",
    )
    light = radiograph.chest(Thorax(5, female=False, noise=0), 384, 77)
    grey(ds, np.clip(np.rint(4000 - light * 3900), 0, 4095).astype(np.uint16), 12, "MONOCHROME1")
    yield sample(study, "cr_chest", ds, ImplicitVRLittleEndian)


def digital_radiograph() -> Iterator[Sample]:
    """The first picture of a patient whom the other hospital knows too: lossy JPEG 2000."""
    study = cast.MOREAU_2019
    series = Series(
        study,
        1,
        "DX",
        "Thorax face",
        model="Radia DX",
        station="VDODX01",
        body_part="CHEST",
        protocol="Thorax face",
        operator="LEROY^Sabine",
    )
    light = radiograph.chest(Thorax(1, noise=0, nodule_mm=6), 384, 78)
    ds = instance(
        series,
        1,
        DigitalXRayImageStorageForPresentation,
        ImageType=["ORIGINAL", "PRIMARY", ""],
        **_dx(),
    )
    grey(ds, np.clip(np.rint(100 + light * 3900), 0, 4095).astype(np.uint16), 12)
    put(
        ds,
        PixelIntensityRelationship="LOG",
        PixelIntensityRelationshipSign=-1,
        RescaleIntercept="0",
        RescaleSlope="1",
        RescaleType="US",
        PresentationLUTShape="IDENTITY",
        BurnedInAnnotation="NO",
        WindowCenter="2150",
        WindowWidth="3900",
    )
    yield sample(study, "dx_chest", ds, JPEG2000)


def _dx() -> dict[str, object]:
    """DX Anatomy, Detector and Positioning, as far as they are required (PS3.3 C.8.11)."""
    return {
        "PresentationIntentType": "FOR PRESENTATION",
        "ImageLaterality": "U",
        "AnatomicRegionSequence": [code("51185008", "SCT", "Chest")],
        "PatientOrientation": ["L", "F"],
        "ViewPosition": "PA",
        "ViewCodeSequence": [
            dataset(
                CodeValue="272479007",
                CodingSchemeDesignator="SCT",
                CodeMeaning="postero-anterior",
                ViewModifierCodeSequence=[],
            )
        ],
        "PositionerType": "COLUMN",
        "DetectorType": "DIRECT",
        "ImagerPixelSpacing": ["0.9", "0.9"],
        "AcquisitionContextSequence": [],
        "KVP": "125",
    }


def angiography() -> Iterator[Sample]:
    """Contrast medium in coronary vessels, 12 grey JPEG frames; a patient with a Japanese name in three groups."""
    study = cast.TANAKA_2024
    series = Series(
        study,
        1,
        "XA",
        "Coronaire gauche OAD",
        model="Angia 20",
        station="VDOXA01",
        body_part="HEART",
        operator="RENARD^Paul",
    )
    ds = instance(
        series,
        1,
        XRayAngiographicImageStorage,
        ImageType=["ORIGINAL", "PRIMARY", "SINGLE PLANE"],
        PatientOrientation="",
        NumberOfFrames=12,
        FrameIncrementPointer=0x00181063,
        FrameTime="66.6",
        CineRate=15,
        KVP="80",
        RadiationSetting="GR",
        XRayTubeCurrent="400",
        ExposureTime="8",
        PixelIntensityRelationship="LIN",
        PositionerMotion="STATIC",
        PositionerPrimaryAngle="-30",
        PositionerSecondaryAngle="10",
        ImagerPixelSpacing=["0.34", "0.34"],
        ContrastBolusAgent="Iohexol 350",
        WindowCenter="118",
        WindowWidth="196",
    )
    grey(ds, angiogram.frames(320, 12, 3), 8)
    yield sample(study, "xa_coronary", ds, JPEGBaseline8Bit)
