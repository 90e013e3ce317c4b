"""A Data Set and a Transfer Syntax to the bytes of a Part 10 file, the same bytes every time."""

import io
from pathlib import Path

import numpy as np
from openjpeg.utils import encode_array
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from generator.modules import uid
from generator.shapes import Array

ENCODERS = {JPEGLSLossless: "pyjpegls", RLELossless: "pydicom"}


def write(path: Path, ds: Dataset, transfer_syntax: str) -> int:
    """Write *ds* to *path* in *transfer_syntax* and return the size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = encode(ds, transfer_syntax)
    path.write_bytes(data)
    return len(data)


def encode(ds: Dataset, transfer_syntax: str) -> bytes:
    """*ds* as a Part 10 file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = uid("generator"), "RELAIS_SAMPLES"
    file = FileDataset("", ds, file_meta=meta, preamble=b"\0" * 128)
    if UID(transfer_syntax) in ENCODERS:  # named: which one pydicom would take depends on what is installed
        plugin = ENCODERS[UID(transfer_syntax)]
        file.compress(UID(transfer_syntax), encoding_plugin=plugin, generate_instance_uid=False)
    elif UID(transfer_syntax) in COMPRESS:
        COMPRESS[UID(transfer_syntax)](file)
    meta.TransferSyntaxUID = UID(transfer_syntax)
    out = io.BytesIO()
    dcmwrite(out, file, enforce_file_format=True)
    return out.getvalue()


def _frames(ds: Dataset) -> list[Array]:
    """The native frames of *ds*."""
    samples = (3,) if ds.SamplesPerPixel == 3 else ()
    kind = "<u1" if ds.BitsAllocated == 8 else "<i2" if ds.PixelRepresentation else "<u2"
    whole = np.frombuffer(ds.PixelData, dtype=kind)
    return list(whole.reshape(int(ds.get("NumberOfFrames", 1)), ds.Rows, ds.Columns, *samples))


def _set(ds: Dataset, frames: list[bytes]) -> None:
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def _jpeg2000_lossless(ds: Dataset) -> None:
    _set(ds, [encode_array(np.ascontiguousarray(frame), ds.BitsStored) for frame in _frames(ds)])


def _jpeg2000(ds: Dataset) -> None:
    native = len(ds.PixelData)
    frames = [
        encode_array(np.ascontiguousarray(f), ds.BitsStored, signal_noise_ratios=[58.0], add_tlm=False)
        for f in _frames(ds)
    ]
    _lossy(ds, frames, native, "ISO_15444_1")


def _jpeg(ds: Dataset) -> None:
    native = len(ds.PixelData)
    frames = []
    for frame in _frames(ds):
        out = io.BytesIO()
        Image.fromarray(frame).save(out, "JPEG", quality=82, subsampling="4:2:2", optimize=True)
        frames.append(out.getvalue())
    if ds.SamplesPerPixel == 3:
        ds.PhotometricInterpretation = "YBR_FULL_422"
    _lossy(ds, frames, native, "ISO_10918_1")


def _lossy(ds: Dataset, frames: list[bytes], native_bytes: int, method: str) -> None:
    """Say in the Data Set that something was lost, and how much (PS3.3 C.7.6.1.1.5)."""
    _set(ds, frames)
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = f"{native_bytes / sum(map(len, frames)):.2f}"
    ds.LossyImageCompressionMethod = method


COMPRESS = {JPEG2000Lossless: _jpeg2000_lossless, JPEG2000: _jpeg2000, JPEGBaseline8Bit: _jpeg}
