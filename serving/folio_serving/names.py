"""Whether a text seems to name a person: a title or a cue before a capitalised name, or a common given name
with another.

A heuristic for Latin script, and no more: names without title, cue or common given name, in lower case or
in other scripts are missed; streets, firms and characters named after people are found.
"""

from __future__ import annotations

import re

_NAME = (
    "(?:O['\u2019])?[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ'\u2019-]{1,24}"
    r"(?: [A-ZÀ-ÖØ-Þ]\.)?(?: (?:van|von|de|del|der|da|di|bin|al|la|le))?"
)
_TITLES = (
    "Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dame|Madam|Rev|Herr|Frau|Mme|Monsieur|Madame|Mademoiselle|Señor|"
    "Señora|Sr|Sra|Signor|Signora"
)
_CUES = (
    "(?i:my name is|name is|named|patient(?: name)?:?|name:|signed(?: by)?:?|yours sincerely,|best regards,|"
    "kind regards,|i am called|on behalf of|next of kin:?|insured:?|employee:?|customer name:?|dear)"
)
_GIVEN = (
    "James|John|Robert|Michael|William|David|Richard|Joseph|Thomas|Charles|Christopher|Daniel|Matthew|Anthony|Mark|"
    "Donald|Steven|Paul|Andrew|Joshua|Kenneth|Kevin|Brian|George|Timothy|Ronald|Edward|Jason|Jeffrey|Ryan|Jacob|"
    "Gary|Nicholas|Eric|Jonathan|Stephen|Larry|Justin|Scott|Brandon|Benjamin|Samuel|Gregory|Alexander|Patrick|"
    "Frank|Raymond|Jack|Dennis|Jerry|Tyler|Aaron|Jose|Adam|Nathan|Henry|Peter|Zachary|Kyle|Walter|Harold|Carl|"
    "Mary|Patricia|Jennifer|Linda|Elizabeth|Barbara|Susan|Jessica|Sarah|Karen|Lisa|Nancy|Betty|Margaret|Sandra|"
    "Ashley|Kimberly|Emily|Donna|Michelle|Carol|Amanda|Dorothy|Melissa|Deborah|Stephanie|Rebecca|Sharon|Laura|"
    "Cynthia|Kathleen|Amy|Angela|Shirley|Anna|Brenda|Pamela|Emma|Nicole|Helen|Samantha|Katherine|Christine|Debra|"
    "Rachel|Carolyn|Janet|Catherine|Maria|Heather|Diane|Ruth|Julie|Olivia|Joyce|Virginia|Victoria|Kelly|Lauren|"
    "Christina|Joan|Evelyn|Judith|Megan|Andrea|Cheryl|Hannah|Jacqueline|Martha|Gloria|Teresa|Ann|Sara|Alice|"
    "Mohammed|Muhammad|Ahmed|Ali|Fatima|Aisha|Omar|Hassan|Wei|Li|Ming|Hiroshi|Yuki|Priya|Raj|Anil|Sanjay|Deepak|"
    "Hans|Klaus|Jürgen|Wolfgang|Stefan|Andreas|Ursula|Sabine|Petra|Monika|Pierre|Jean|Marie|Sophie|Camille|"
    "Carlos|Juan|Luis|Miguel|Pedro|Ana|Carmen|Lucia|Giovanni|Giuseppe|Marco|Luca|Giulia|Ivan|Olga|Dmitri|Natasha|"
    "Jane|Kate|Tom|Bob|Bill|Jim|Joe|Mike|Steve|Dave|Chris|Alex|Sam|Ben|Max|Leo|Oliver|Harry|Noah|Liam|Ethan|Lucas"
)
_PERSON = re.compile(
    rf"\b(?:{_TITLES})\b\.? {_NAME}"
    rf"|\b{_CUES} {_NAME} {_NAME}"
    rf"|\b(?:{_GIVEN}) {_NAME}"
)


def holds_person_name(text: str) -> bool:
    return _PERSON.search(text) is not None
