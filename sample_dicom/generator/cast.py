"""Who and when: two hospitals, their patients and studies. Hospitals, people and numbers are all invented."""

from generator.modules import Patient, Site, Study

RIVEMONT = Site("rivemont", "CHU de Rivemont", "1 avenue des Tilleuls, 99100 Rivemont", "RIVEMONT")
VAL_DORME = Site("val_dorme", "Clinique du Val d'Orme", "24 rue de l'Orme, 99340 Orme-sur-Vire", "VALDORME")

MOREAU = Patient(RIVEMONT, "MOREAU^Isabelle", "0458213706", "19580314", "F", size_m="1.64", weight_kg="61")
LEFEVRE = Patient(RIVEMONT, "LEFÈVRE^Hélène", "0731904425", "19850702", "F", size_m="1.71", weight_kg="66")
LECOEUR = Patient(RIVEMONT, "LECŒUR^Maëlys", "1160122873", "20160122", "F", charset="ISO_IR 192")
IVANENKO = Patient(RIVEMONT, "Иваненко^Ольга", "0987114230", "19470819", "F", charset="ISO_IR 144")
UNKNOWN = Patient(RIVEMONT, "INCONNU 07", "X2024000731", "", "O")

GARNIER = Patient(VAL_DORME, "GARNIER^Étienne", "VO-20417", "19491205", "M")
MOREAU_THERE = Patient(VAL_DORME, "MOREAU^Isabelle", "VO-31188", "19580314", "F")
BENALI = Patient(VAL_DORME, "BENALI^Karim", "VO-40952", "19720930", "M", size_m="1.78", weight_kg="82")
CHEN = Patient(VAL_DORME, "Chen^Meilin=陈^美琳", "VO-51730", "19910516", "F", charset="GB18030")
TANAKA = Patient(
    VAL_DORME,
    "Tanaka^Yuki=田中^由紀=たなか^ゆき",
    "VO-47003",
    "19631127",
    "F",
    charset=["", "ISO 2022 IR 87"],
)

MOREAU_2019 = Study(
    "moreau_2019_dx", MOREAU_THERE, "20190226", "101512", "VO19022604", "RADIOGRAPHIE DU THORAX", "BRUNEL^Marc", "060Y"
)
MOREAU_2021 = Study(
    "moreau_2021_ct", MOREAU, "20210518", "142207", "RIV210518114", "TDM THORAX SANS INJECTION", "PETIT^Anne", "063Y"
)
MOREAU_2022 = Study(
    "moreau_2022_ct", MOREAU, "20221107", "093341", "RIV221107052", "TDM THORAX CONTROLE", "PETIT^Anne", "064Y"
)
MOREAU_2024 = Study(
    "moreau_2024_ct", MOREAU, "20240612", "104530", "RIV240612087", "TDM THORAX AVEC INJECTION", "PETIT^Anne", "066Y"
)
LEFEVRE_2024 = Study(
    "lefevre_2024_mr", LEFEVRE, "20240603", "161118", "RIV240603131", "IRM CÉRÉBRALE", "ROUX^François", "038Y"
)
LECOEUR_2024 = Study(
    "lecoeur_2024_us", LECOEUR, "20240529", "111004", "RIV240529063", "ÉCHOGRAPHIE ABDOMINALE", "ABADIE^Cécile", "008Y"
)
IVANENKO_2024 = Study(
    "ivanenko_2024_ct", IVANENKO, "20240611", "220149", "RIV240611198", "TDM CEREBRALE URGENCE", "GIRARD^Luc", "076Y"
)
UNKNOWN_2024 = Study("inconnu_2024_ct", UNKNOWN, "20240608", "034410", "RIV240608004", "TDM PERFUSION CEREBRALE", "")
GARNIER_2023 = Study(
    "garnier_2023_cr", GARNIER, "20231019", "085527", "VO23101911", "THORAX FACE DEBOUT", "BRUNEL^Marc", "073Y"
)
BENALI_2024 = Study(
    "benali_2024_mr", BENALI, "20240422", "152038", "VO24042217", "IRM ENCEPHALE T2", "SAVARY^Élise", "051Y"
)
CHEN_2024 = Study("chen_2024_us", CHEN, "20240517", "090214", "VO24051702", "ECHOCARDIOGRAPHIE", "SAVARY^Elise", "033Y")
TANAKA_2024 = Study(
    "tanaka_2024_xa", TANAKA, "20240130", "133155", "VO24013009", "CORONAROGRAPHIE", "LAMBERT^Jean", "060Y"
)
