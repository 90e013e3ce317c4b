"""The MR studies: a brain in two series, and one as a single enhanced multi-frame instance."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, ImplicitVRLittleEndian, MRImageStorage

from generator import cast, head
from generator.modules import Series, code, dataset, decimal, grey, instance, plane, put, uid
from generator.samples import Sample, sample
from generator.shapes import Array, Grid

BRAIN = Grid.centred(192, 192, 1.02)
SMALL = Grid.centred(128, 128, 1.5)
MR3T = {"model": "Magnis 3T", "station": "RIVMR01", "body_part": "BRAIN", "operator": "BLANC^Théo"}

T1_TIMES = {"RepetitionTime": "1900", "EchoTime": "2.5", "InversionTime": "900", "FlipAngle": "9"}
FLAIR_TIMES = {"RepetitionTime": "9000", "EchoTime": "92", "InversionTime": "2500", "FlipAngle": "150"}


def brain() -> Iterator[Sample]:
    """Eighteen slices each of T1 (explicit VR) and FLAIR (implicit VR), with bright lesions in the FLAIR."""
    study = cast.LEFEVRE_2024
    for number, name, kind, times, window, syntax in (
        (3, "T1 axial", head.T1, T1_TIMES, (560, 1100), ""),
        (5, "FLAIR axial", head.FLAIR, FLAIR_TIMES, (480, 980), ImplicitVRLittleEndian),
    ):
        series = Series(study, number, "MR", name, protocol="Cérébrale SEP", **MR3T)
        patient = head.Head(11, kind, head.PLAQUES, shading=0.1)
        for slice_number in range(1, 19):
            z = 14 + (slice_number - 1) * 4.5
            ds = _slice(series, slice_number, patient.plane(BRAIN, z), z, times)
            put(ds, WindowCenter=str(window[0]), WindowWidth=str(window[1]))
            label = f"mr_{name.split()[0].lower()}_{slice_number:03d}"
            yield sample(study, label, ds, *([syntax] if syntax else []))


def _slice(series: Series, number: int, values: Array, z: float, times: dict[str, str]) -> Dataset:
    ds = instance(
        series,
        number,
        MRImageStorage,
        ImageType=["ORIGINAL", "PRIMARY", "M", "ND"],
        PatientPosition="HFS",
        AcquisitionNumber=1,
        ScanningSequence=["GR", "IR"] if series.number == 3 else ["SE", "IR"],
        SequenceVariant=["SK", "SP", "MP"],
        ScanOptions="IR",
        MRAcquisitionType="3D" if series.number == 3 else "2D",
        MagneticFieldStrength="3",
        ImagingFrequency="123.25",
        ImagedNucleus="1H",
        NumberOfAverages="1",
        EchoTrainLength="1" if series.number == 3 else "16",
        SpacingBetweenSlices="4.5",
        PixelBandwidth="190",
        **times,
    )
    plane(ds, (-(values.shape[1] - 1) / 2 * 1.02, -(values.shape[0] - 1) / 2 * 1.02, -z), 1.02, 4.0)
    return grey(ds, np.clip(np.rint(values), 0, 4095).astype(np.uint16), 12)


def enhanced() -> Iterator[Sample]:
    """Twelve T2 frames in one Enhanced MR Image: functional groups instead of one instance per slice."""
    study = cast.BENALI_2024
    series = Series(
        study,
        4,
        "MR",
        "T2 axial multi-coupes",
        model="Magnis 1.5T",
        station="VDOMR01",
        protocol="Encéphale",
        operator="ADAM^Claire",
    )
    patient = head.Head(23, head.T2, shading=0.08)
    places = [20 + number * 6.0 for number in range(12)]
    pixels = np.stack([np.clip(np.rint(patient.plane(SMALL, z)), 0, 4095).astype(np.uint16) for z in places])
    moment = f"{study.date}{study.time}"
    ds = instance(
        series,
        1,
        EnhancedMRImageStorage,
        NumberOfFrames=len(places),
        ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"],
        AcquisitionDateTime=moment,
        AcquisitionDuration=184.0,
        PatientPosition="HFS",
        **_enhanced_mr(),
    )
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(f"{study.key} frame of reference"), ""
    dimension = uid(f"{study.key} dimensions")
    put(
        ds,
        DimensionOrganizationSequence=[dataset(DimensionOrganizationUID=dimension)],
        DimensionIndexSequence=[
            dataset(
                DimensionOrganizationUID=dimension,
                DimensionIndexPointer=0x00209057,  # In-Stack Position Number
                FunctionalGroupPointer=0x00209111,
                DimensionDescriptionLabel="In-Stack Position",
            )
        ],
        SharedFunctionalGroupsSequence=[_shared()],
        PerFrameFunctionalGroupsSequence=[_frame(number, z, moment) for number, z in enumerate(places, 1)],
        AcquisitionContextSequence=[],
    )
    grey(ds, pixels, 12)
    put(ds, BurnedInAnnotation="NO", LossyImageCompression="00", PresentationLUTShape="IDENTITY")
    yield sample(study, "mr_enhanced", ds)


def _enhanced_mr() -> dict[str, Any]:
    """Enhanced MR Image and MR Pulse Sequence modules (PS3.3 C.8.13.1, C.8.13.4)."""
    return {
        "PixelPresentation": "MONOCHROME",
        "VolumetricProperties": "VOLUME",
        "VolumeBasedCalculationTechnique": "NONE",
        "ComplexImageComponent": "MAGNITUDE",
        "AcquisitionContrast": "T2",
        "ContentQualification": "PRODUCT",
        "ResonantNucleus": "1H",
        "MagneticFieldStrength": 1.5,
        "KSpaceFiltering": "NONE",
        "ApplicableSafetyStandardAgency": "IEC",
        "PulseSequenceName": "TSE",
        "MRAcquisitionType": "2D",
        "EchoPulseSequence": "SPIN",
        "MultipleSpinEcho": "YES",
        "MultiPlanarExcitation": "NO",
        "PhaseContrast": "NO",
        "TimeOfFlightContrast": "NO",
        "SteadyStatePulseSequence": "NONE",
        "EchoPlanarPulseSequence": "NO",
        "SaturationRecovery": "NO",
        "SpectrallySelectedSuppression": "NONE",
        "OversamplingPhase": "NONE",
        "GeometryOfKSpaceTraversal": "RECTILINEAR",
        "RectilinearPhaseEncodeReordering": "LINEAR",
        "SegmentedKSpaceTraversal": "PARTIAL",
        "NumberOfKSpaceTrajectories": 1,
    }


def _shared() -> Dataset:
    """What all frames have in common (PS3.3 C.7.6.16)."""
    anatomy = dataset(AnatomicRegionSequence=[code("12738006", "SCT", "Brain")], FrameLaterality="U")
    return dataset(
        PixelMeasuresSequence=[dataset(PixelSpacing=["1.5", "1.5"], SliceThickness="5", SpacingBetweenSlices="6")],
        PlaneOrientationSequence=[dataset(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        FrameAnatomySequence=[anatomy],
        FrameVOILUTSequence=[dataset(WindowCenter="620", WindowWidth="1200")],
        PixelValueTransformationSequence=[dataset(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")],
        MRImageFrameTypeSequence=[
            dataset(
                FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"],
                PixelPresentation="MONOCHROME",
                VolumetricProperties="VOLUME",
                VolumeBasedCalculationTechnique="NONE",
                ComplexImageComponent="MAGNITUDE",
                AcquisitionContrast="T2",
            )
        ],
        **_shared_mr(),
    )


def _shared_mr() -> dict[str, list[Dataset]]:
    """The functional groups of MR only (PS3.3 C.8.13.5)."""
    return {
        "MRTimingAndRelatedParametersSequence": [
            dataset(
                RepetitionTime="4200",
                FlipAngle="150",
                EchoTrainLength="14",
                RFEchoTrainLength=14,
                GradientEchoTrainLength=0,
                GradientOutputType="DB_DT",
                GradientOutput=38.5,
                SpecificAbsorptionRateSequence=[
                    dataset(SpecificAbsorptionRateDefinition="IEC_HEAD", SpecificAbsorptionRateValue=1.4)
                ],
                OperatingModeSequence=[dataset(OperatingModeType="STATIC FIELD", OperatingMode="IEC_NORMAL")],
            )
        ],
        "MRFOVGeometrySequence": [
            dataset(
                InPlanePhaseEncodingDirection="ROW",
                MRAcquisitionFrequencyEncodingSteps=128,
                MRAcquisitionPhaseEncodingStepsInPlane=128,
                PercentSampling="100",
                PercentPhaseFieldOfView="100",
            )
        ],
        "MREchoSequence": [dataset(EffectiveEchoTime=98.0)],
        "MRModifierSequence": [
            dataset(
                InversionRecovery="NO",
                FlowCompensation="NONE",
                Spoiling="NONE",
                T2Preparation="NO",
                SpectrallySelectedExcitation="NONE",
                SpatialPresaturation="NONE",
                PartialFourier="NO",
                ParallelAcquisition="NO",
            )
        ],
        "MRReceiveCoilSequence": [
            dataset(
                ReceiveCoilName="HEAD16",
                ReceiveCoilManufacturerName="Borea Medical",
                ReceiveCoilType="MULTICOIL",
                QuadratureReceiveCoil="NO",
                MultiCoilDefinitionSequence=[dataset(MultiCoilElementName="H1", MultiCoilElementUsed="YES")],
            )
        ],
        "MRTransmitCoilSequence": [
            dataset(TransmitCoilName="BODY", TransmitCoilManufacturerName="Borea Medical", TransmitCoilType="BODY")
        ],
        "MRAveragesSequence": [dataset(NumberOfAverages="1")],
        "MRImagingModifierSequence": [
            dataset(
                MagnetizationTransfer="NONE",
                BloodSignalNulling="NO",
                Tagging="NONE",
                TransmitterFrequency=63.87,
                PixelBandwidth="190",
            )
        ],
    }


def _frame(number: int, z: float, moment: str) -> Dataset:
    """What makes frame *number* itself: when and where."""
    half = (128 - 1) / 2 * 1.5
    when = dataset(
        FrameAcquisitionNumber=1,
        FrameReferenceDateTime=moment,
        FrameAcquisitionDateTime=moment,
        FrameAcquisitionDuration=15.0,
        DimensionIndexValues=[number],
        StackID="1",
        InStackPositionNumber=number,
    )
    where = dataset(ImagePositionPatient=[decimal(-half), decimal(-half), decimal(-z)])
    return dataset(FrameContentSequence=[when], PlanePositionSequence=[where])
