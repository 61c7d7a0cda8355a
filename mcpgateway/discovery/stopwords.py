"""The everyday words of queries for tools: stop words, and synonyms.

The tables are independent of any tool.  A pair is included if a developer would use one word for the other with any
server, and if a file is called by the ending of its name.
"""

from __future__ import annotations

SAYS_NOTHING = frozenset(
    """
    a about am an and any are as at be been but by can could did do does for from had has have how i if
    in into is it its just let like lets me my need of on or our please shall should so some something
    such than that the their them then there these they this those thing things to us use using via want
    was we were while why will with would you your
    """.split()
)
"""Words that a question is made of; they count only in a question that has no others."""

_GROUPS = """
    add create make new insert put append open
    delete remove erase drop destroy clear discard
    list show all enumerate browse view
    get fetch read retrieve load obtain
    find search look lookup locate query grep
    update edit change modify alter set
    rename move
    send post publish submit say tell
    write save store put
    put upload set
    give grant assign
    forget delete remove
    remember add store
    turn convert
    run execute start launch invoke
    stop kill terminate end cancel abort
    close shut quit
    copy duplicate clone
    merge combine join
    compare diff difference
    check verify validate test
    reply respond answer
    comment note remark
    upload attach
    download export save
    navigate visit browse goto
    click press tap hit push
    type enter fill input write
    scrape crawl extract
    convert transform translate
    describe explain detail details info information
    summary overview summarize
    restart reboot
    scale resize
    undo revert rollback reset
    count number total amount
    folder directory dir
    file document
    repository repo project
    issue ticket bug
    mr merge
    pr pull
    branch fork
    picture image screenshot photo
    website site webpage page web url link
    tab window
    person people user member
    group team organization org
    channel room
    message chat dm
    email mail
    database db
    table sheet
    row record entry document
    column field
    sql query statement
    graph chart plot diagram
    kubernetes k8s cluster
    container pod docker
    environment env
    variable var config setting
    configuration config settings setting preferences
    javascript js script
    command shell terminal bash
    process program task
    log logs output history
    error exception failure crash
    memory knowledge
    time date clock when
    recent latest last history lately newest
    where location place path
    who whose user owner author member assignee
    which what list get show search
    many much count number size total
    big size large
    wide width
    high height
    slow performance
    fast performance speed
    fail error failed broken
    colour color
    picture logo photo image
    sound audio speech voice
    docx word
    xlsx excel
    pptx powerpoint
    timezone zone
    place location spot
    route directions path way
    deploy release rollout
    ci pipeline workflow build job
    slide presentation deck
    spreadsheet excel workbook sheet
    cell range
    paragraph text
    label tag
    key secret token credential
    permission access right
"""


def _related() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for line in _GROUPS.strip().splitlines():
        group = line.split()
        for word in group:
            found.setdefault(word, []).extend(each for each in group if each != word)
    return {word: tuple(dict.fromkeys(others)) for word, others in found.items()}


RELATED = _related()
"""Words that are used for one another; they count less than the word that was typed."""


def related(word: str) -> tuple[str, ...]:
    """Return the synonyms of a word, in any inflection."""
    for form in forms(word):
        if form in RELATED:
            return RELATED[form]
    return ()


def forms(word: str) -> tuple[str, ...]:
    """Return a word, and those whose inflection it may be: ``copies``, ``copied`` and ``copying`` are of ``copy``."""
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 2:
            stem = word[: -len(ending)]
            undoubled = (stem[:-1],) if stem[-1] == stem[-2] else ()
            return (word, *(stem + each for each in instead), *undoubled)
    return (word,)


_ENDINGS = (
    ("ies", ("y", "ie")),
    ("ied", ("y", "ie")),
    ("es", ("e", "")),
    ("s", ("",)),
    ("ing", ("", "e")),
    ("ed", ("", "e")),
)
