"""Write the samples: `python sample_dicom/generate.py [--into FOLDER] [STUDY ...]`. Same input, same bytes.

Needs pyjpegls and pylibjpeg-openjpeg besides what Relais needs (the extra `dev`). Bytes of lossy and JPEG 2000
Pixel Data may differ with the version of the encoder; everything else, native pixels included, never does.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from generator import cast, ct_studies, encode, mr_studies, other_studies
from generator.samples import Sample

HERE = Path(__file__).parent

MAKERS: dict[Callable[[], Iterator[Sample]], tuple[str, ...]] = {
    ct_studies.chest_2024: (cast.MOREAU_2024.key,),
    ct_studies.chest_priors: (cast.MOREAU_2021.key, cast.MOREAU_2022.key),
    ct_studies.head_with_bleed: (cast.IVANENKO_2024.key,),
    ct_studies.perfusion_map: (cast.UNKNOWN_2024.key,),
    mr_studies.brain: (cast.LEFEVRE_2024.key,),
    mr_studies.enhanced: (cast.BENALI_2024.key,),
    other_studies.abdomen: (cast.LECOEUR_2024.key,),
    other_studies.heartbeat: (cast.CHEN_2024.key,),
    other_studies.chest_radiograph: (cast.GARNIER_2023.key,),
    other_studies.digital_radiograph: (cast.MOREAU_2019.key,),
    other_studies.angiography: (cast.TANAKA_2024.key,),
}


def samples(studies: list[str]) -> Iterator[Sample]:
    """Every sample of these studies; of all where none is named."""
    for maker, keys in MAKERS.items():
        if not studies or set(studies) & set(keys):
            yield from maker()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Write the sample instances.")
    parser.add_argument("--into", type=Path, default=HERE, help="folder to write into (default: this one)")
    parser.add_argument("studies", nargs="*", help="folders to write, such as moreau_2024_ct (default: all)")
    arguments = parser.parse_args()
    total = count = 0
    for sample in samples(arguments.studies):
        total += encode.write(arguments.into / sample.path, sample.ds, sample.transfer_syntax)
        count += 1
    print(f"{count} instances, {total / 1e6:.1f} MB, in {arguments.into}")


if __name__ == "__main__":
    main()
