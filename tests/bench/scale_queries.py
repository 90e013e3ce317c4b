"""Every kind of search that people and machines make, with what it may take. Knows the invented hospitals, no doors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from bench import scale_data
from bench.scale_data import Study

Params = dict[str, str]
KEYED, WILD, OTHER = 20.0, 50.0, 200.0  # ms: the most that p95 may be


@dataclass(frozen=True)
class Kind:
    """One kind of search: where on the web, its keys for a study that is there, and whether C-FIND is asked too."""

    name: str
    params: Callable[[Study, Random], Params]
    limit_ms: float = KEYED
    path: str = "/studies"
    is_found_by_dimse: bool = False  # not asked where C-FIND, which has no limit, would answer with a library


@dataclass(frozen=True)
class Archive:
    """The studies of one index."""

    count: int

    def study(self, rnd: Random) -> Study:
        return scale_data.study(rnd.randrange(self.count) * (scale_data.STUDIES // self.count))


def _surname(one: Study) -> str:
    return one.patient_name.partition("^")[0].partition("-")[0]


def _given(one: Study) -> str:
    return one.patient_name.partition("^")[2].partition("=")[0].partition("-")[0]


def _days(one: Study, days: int) -> str:
    first = datetime.strptime(one.day, "%Y%m%d").replace(tzinfo=None).date()  # noqa: DTZ007 - a DA has no zone
    return f"{one.day}-{first + timedelta(days=days):%Y%m%d}"


def _newest() -> date:
    return scale_data.FIRST_DAY + timedelta(days=scale_data.DAYS - 1)


def _series(one: Study) -> str:
    return scale_data.uid("series", one.number, 1)


def kinds() -> Iterator[Kind]:
    """All of them, in the order of the report."""
    yield from _keyed()
    yield from _names()
    yield from _dated()
    yield from _rare()
    yield from _below()


def _keyed() -> Iterator[Kind]:
    yield Kind("StudyInstanceUID", lambda one, rnd: {"StudyInstanceUID": one.uid}, is_found_by_dimse=True)
    yield Kind(
        "50 StudyInstanceUIDs",
        lambda one, rnd: {
            "StudyInstanceUID": ",".join(
                scale_data.uid("study", one.number - one.number % 98 + 98 * n) for n in range(50)
            )
        },
    )
    yield Kind("PatientID", lambda one, rnd: {"PatientID": one.patient_id}, is_found_by_dimse=True)
    yield Kind("AccessionNumber", lambda one, rnd: {"AccessionNumber": one.accession}, is_found_by_dimse=True)
    yield Kind("AccessionNumber prefix*", lambda one, rnd: {"AccessionNumber": f"{one.accession[:-2]}*"})
    yield Kind("PatientID *digits*", lambda one, rnd: {"PatientID": f"*{one.patient_id[3:]}*"}, WILD)
    yield Kind("StudyID", lambda one, rnd: {"StudyID": str(one.number % 100_000)}, is_found_by_dimse=True)
    yield Kind("PatientBirthDate", lambda one, rnd: {"PatientBirthDate": "19620317"})


def _names() -> Iterator[Kind]:
    yield Kind(
        "name exact", lambda one, rnd: {"PatientName": one.patient_name.partition("=")[0]}, is_found_by_dimse=True
    )
    yield Kind("name SURNAME*", lambda one, rnd: {"PatientName": f"{_surname(one)}*"}, WILD)
    yield Kind("name of 3 letters*", lambda one, rnd: {"PatientName": f"{one.patient_name[:3]}*"}, WILD)
    yield Kind("name M*", lambda one, rnd: {"PatientName": "M*"}, WILD)
    yield Kind("name *SURNAME*", lambda one, rnd: {"PatientName": f"*{_surname(one)}*"}, WILD)
    yield Kind("name *MARTIN*", lambda one, rnd: {"PatientName": "*MARTIN*"}, WILD)
    yield Kind("name *ARI*", lambda one, rnd: {"PatientName": "*ARI*"}, WILD)
    yield Kind("name *^MARIE*", lambda one, rnd: {"PatientName": "*^MARIE*"}, WILD)
    yield Kind("name *two letters*", lambda one, rnd: {"PatientName": f"*{one.patient_name[2:4]}*"}, WILD)
    yield Kind("name *two rare letters*", lambda one, rnd: {"PatientName": "*xq*"}, WILD)
    yield Kind("name S?RNAME*", lambda one, rnd: {"PatientName": f"{_surname(one)[0]}?{_surname(one)[2:]}*"}, WILD)
    yield Kind("name nobody has", lambda one, rnd: {"PatientName": "*QZXWY*"}, WILD)
    yield Kind(
        "fuzzy given surname",
        lambda one, rnd: {"PatientName": f"{_given(one)} {_surname(one)}", "fuzzymatching": "true"},
        WILD,
    )
    yield Kind("fuzzy surname", lambda one, rnd: {"PatientName": _surname(one), "fuzzymatching": "true"}, WILD)
    yield Kind("fuzzy mar", lambda one, rnd: {"PatientName": "mar", "fuzzymatching": "true"}, WILD)
    yield Kind("ReferringPhysicianName", lambda one, rnd: {"ReferringPhysicianName": _physician(rnd)}, WILD)
    yield Kind(
        "ReferringPhysicianName prefix*",
        lambda one, rnd: {"ReferringPhysicianName": f"{_physician(rnd).partition('^')[0]}*"},
        WILD,
    )


def _physician(rnd: Random) -> str:
    return scale_data.physician(rnd.randrange(4000))


def _dated() -> Iterator[Kind]:
    yield Kind("no key", lambda one, rnd: {})
    yield Kind("no key, all attributes", lambda one, rnd: {"includefield": "all"})
    yield Kind("last day", lambda one, rnd: {"StudyDate": f"{_newest():%Y%m%d}-"})
    yield Kind("one day", lambda one, rnd: {"StudyDate": one.day})
    yield Kind("one year", lambda one, rnd: {"StudyDate": _days(one, 365)})
    yield Kind("one year, offset 5000", lambda one, rnd: {"StudyDate": _days(one, 365), "offset": "5000"})
    yield Kind("no key, offset 50000", lambda one, rnd: {"offset": "50000"}, OTHER)
    yield Kind("no key, offset 900000", lambda one, rnd: {"offset": "900000"}, OTHER)
    yield Kind("modality", lambda one, rnd: {"ModalitiesInStudy": one.kind.modality})
    yield Kind("modality, one day", lambda one, rnd: {"ModalitiesInStudy": one.kind.modality, "StudyDate": one.day})
    yield Kind(
        "CT or MR, SURNAME*",
        lambda one, rnd: {"ModalitiesInStudy": "CT,MR", "PatientName": f"{_surname(one)}*"},
        WILD,
    )
    yield Kind(
        "SURNAME*, one year", lambda one, rnd: {"PatientName": f"{_surname(one)}*", "StudyDate": _days(one, 365)}, WILD
    )
    yield Kind(
        "physician, one month",
        lambda one, rnd: {"ReferringPhysicianName": _physician(rnd), "StudyDate": _days(one, 30)},
    )
    yield Kind("description *word*", lambda one, rnd: {"StudyDescription": f"*{one.description.split()[0]}*"}, OTHER)


def _rare() -> Iterator[Kind]:
    """Keys that no index serves, or that nothing has."""
    yield Kind("one minute of the night", lambda one, rnd: {"StudyTime": f"03{rnd.randrange(60):02d}"}, OTHER)
    yield Kind("time nobody has", lambda one, rnd: {"StudyTime": "235959.5"}, OTHER)
    yield Kind("sex nobody has", lambda one, rnd: {"PatientSex": "O"}, OTHER)
    yield Kind("issuer nobody has", lambda one, rnd: {"IssuerOfPatientID": "NOWHERE"}, OTHER)
    yield Kind("description nobody has", lambda one, rnd: {"StudyDescription": "*XYZZY*"}, OTHER)
    yield Kind("description *two letters*", lambda one, rnd: {"StudyDescription": "*QX*"}, OTHER)
    yield Kind("modality nobody has", lambda one, rnd: {"ModalitiesInStudy": "OPT"})
    yield Kind("sex and minute", lambda one, rnd: {"PatientSex": "F", "StudyTime": "0312"}, OTHER)
    yield Kind("common name, rare time", lambda one, rnd: {"PatientName": "*MARTIN*", "StudyTime": "0312"}, OTHER)
    yield Kind("two common wild cards", lambda one, rnd: {"PatientName": "*AR*", "StudyDescription": "*O*X*"}, OTHER)
    yield Kind("series time nobody has", lambda one, rnd: {"SeriesTime": "235959.5"}, OTHER, "/series")
    yield Kind("station nobody has", lambda one, rnd: {"StationName": "NOWHERE"}, OTHER, "/series")
    yield Kind("body part nobody has", lambda one, rnd: {"BodyPartExamined": "TAIL"}, OTHER, "/series")
    yield Kind("series number nobody has", lambda one, rnd: {"SeriesNumber": "7777"}, OTHER, "/series")
    yield Kind("description of a series", lambda one, rnd: {"SeriesDescription": "*XYZZY*"}, OTHER, "/series")


def _below() -> Iterator[Kind]:
    yield Kind("series of a study", lambda one, rnd: {"StudyInstanceUID": one.uid}, KEYED, "/series")
    yield Kind("SeriesInstanceUID", lambda one, rnd: {"SeriesInstanceUID": _series(one)}, KEYED, "/series")
    yield Kind(
        "SOPInstanceUID",
        lambda one, rnd: {"SOPInstanceUID": scale_data.uid("instance", one.number, 1)},
        KEYED,
        "/instances",
    )
    yield Kind("station", lambda one, rnd: {"StationName": f"{one.accession[:3]}CT01"}, OTHER, "/series")
    yield Kind("series, no key", lambda one, rnd: {}, KEYED, "/series")
    yield Kind("instances, no key", lambda one, rnd: {}, KEYED, "/instances")
    yield Kind("patient by ID", lambda one, rnd: {"PatientID": one.patient_id}, KEYED, "/patients")
    yield Kind("patients SURNAME*", lambda one, rnd: {"PatientName": f"{_surname(one)}*"}, WILD, "/patients")
    yield Kind("patients, no key", lambda one, rnd: {}, KEYED, "/patients")
