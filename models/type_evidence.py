"""What in a text speaks for which task type: words, pairs of words, and the shape of the text."""

from __future__ import annotations

import re
from itertools import pairwise

# Weight 2 and more decides alone; a word may stand for several types. "a b" is a pair of words in
# a row. Words stand in their base form: `_forms` adds -s, -ed, -ing and the like.
_TABLE = """
investigate_error: investigate 1.7, diagnose 1.8, debug 1.3, root+cause 2.4, stack+trace 1.8, \
 exception 1.3, traceback 1.8, crash 1.6, segfault 1.8, oom 1.4, outage 1.5, incident 1.3, fail \
 1.0, failure 1.0, error 0.8, hang 1.0, freeze 1.0, went+wrong 1.8, stop+work 1.6, why+do 0.6, \
 why+is 0.6, why+are 0.6, find+out 0.5, figure+out 0.6, cause 0.8, memory+leak 1.2, throw 0.9, \
 blow+up 1.5, fall+over 1.5, time+out 0.9, timeout 0.9, spike 0.8, suddenly 0.7, intermittently \
 1.2, sporadic 1.2, die 0.9, keep 0.4, null+pointer 1.2, behind+this 0.8, trace+down 1.6, \
 track+down 1.5, unexpectedly 0.8, 500 0.7, 502 0.9, 503 0.9, 504 0.9, kill 0.6, get+to+bottom \
 1.5, bottom+of 1.2, trigger 0.6, reproduce 0.8, restart 0.5, unresponsive 1.0
deploy_code: deploy 2.2, deployment 1.7, rollout 2.0, roll+out 2.0, rollback 2.0, roll+back 2.0, \
 release 1.2, ship 1.6, promote 1.2, canary 1.6, to+production 1.3, to+prod 1.5, to+staging 1.5, \
 go+live 1.8, push+live 1.8, cut+over 1.5, blue+green 1.6, helm 1.2, kubernetes 0.7, terraform \
 0.8, cluster 0.5, pipeline 0.5, live 0.4, onto+production 1.5, hotfix 0.6, publish 0.9
analyze_logs: log 1.5, log+line 1.8, access+log 2.0, log+file 1.8, syslog 2.0, journalctl 2.0, \
 nginx 0.7, log+entry 1.8, anomaly 1.0, pattern 0.5, log+output 1.8, cloudwatch 1.4, kibana 1.4, \
 audit+trail 1.4, event+stream 1.0, warning 0.6, go+through 0.5, last+night 0.4, dmesg 1.8
fix_bug: fix 1.9, bug 1.5, patch 1.2, repair 1.3, off+by 1.5, resolve 1.1, regression 1.0, \
 incorrect 0.9, wrong 0.6, broken 0.9, make+it 0.3, instead+of 0.8, should+return 0.9, should+be \
 0.4, misbehave 1.2, defect 1.3, correct+the 0.9, sort+out 0.9, double+charge 0.8, \
 return+the+wrong 1.2, the+wrong 0.8, ignore 0.5, mend 1.3, twice 0.5, never+fire 0.9, stop+it \
 0.8
simple_query: what+is 0.8, what's 0.8, who 0.8, when 0.4, where+is 0.7, how+many 1.0, which 0.3, \
 capital 1.2, define 1.0, definition 1.0, stand+for 1.4, mean 0.5, convert 0.7, how+old 1.2, \
 how+far 1.0, what+year 1.2, what+port 1.2, what+day 1.2, synonym 1.2, spell 0.8, is+it 0.4, \
 yes+or 0.8, acronym 1.0, plus 0.6, times 0.6, divided 1.0, square+root 1.4, default 0.5, \
 what+time 1.2, percent+of 1.0, name+the 0.7, tell+me 0.4, abbreviation 1.0, what+does 0.7
update_dependency: dependency 1.8, upgrade 1.8, bump 2.0, requirements.txt 1.4, package.json \
 1.3, pyproject 0.9, latest+version 1.4, newer+version 1.4, move+to 0.4, pin 1.0, lockfile 1.4, \
 library 0.6, cve 0.9, outdated 1.4, npm 0.8, pip 0.8, cargo 0.8, vulnerable 0.8, update 0.7, \
 major+version 1.2, renovate 1.6, dependabot 1.8, end+of+life 0.8, supported+version 1.2, \
 migrate+from 0.6, new+release 0.9, version 0.5, package 0.6
create_pr: pull+request 1.9, pr 1.3, commit+message 2.4, open+a 0.4, merge+request 2.0, \
 changelog 1.2, commit 1.0, pr+description 2.2, pr+title 2.2, squash 1.0, branch 0.9, diff 0.6, \
 request+description 1.2, release+note 1.2, raise+a 0.7
code_review: review 1.6, code+review 2.2, look+over 1.3, feedback 0.8, critique 1.2, smell 1.0, \
 nitpick 1.4, approve 0.8, lgtm 1.4, security+hole 1.2, vulnerability 0.8, injection 0.9, \
 before+merge 1.4, pick+apart 1.2, best+practice 0.7, spot 0.7, anything+wrong 1.2, mergeable \
 1.4, comment+on 0.9, this+change 0.9, this+diff 1.4, pull+request 0.7, pr 0.6, this+patch 0.9, \
 problem+with 0.5, concern 0.7, worry 0.9, look+at 0.5, merge 0.5, audit 0.9
write_tests: test 1.3, unit+test 2.2, pytest 1.6, integration+test 1.9, test+case 1.9, coverage \
 1.4, mock 1.0, fixture 1.2, jest 1.5, junit 1.5, edge+case 0.9, assert 1.0, test+suite 1.6, \
 property+based 1.3, regression+test 1.9, end-to-end 0.8, spec 0.5, cypress 1.5, test+for 1.0
write_code: implement 1.6, write+a 0.5, function 0.9, script 1.2, class 0.6, endpoint 1.4, code \
 0.7, program 1.1, build+a 0.8, build+me 0.8, add+a 0.6, create+a 0.5, method 0.7, regex 0.9, sql \
 0.8, query 0.3, python 0.6, javascript 0.6, typescript 0.6, rust 0.5, bash 0.8, golang 0.6, \
 react 0.6, component 0.7, api 0.4, cli 0.7, algorithm 0.7, dockerfile 0.9, decorator 0.7, \
 generate+a 0.3, middleware 0.7, handler 0.4, in+go 0.6, feature 0.5, snippet 0.6, parser 0.7, \
 cron 0.5, table 0.1
refactor: refactor 2.6, restructure 1.6, clean+up 1.5, simplify 1.1, deduplicate 1.2, duplicate \
 0.7, extract+method 1.6, split+into 0.8, split+this 1.0, rename 1.0, readable 1.5, tidy 1.4, \
 modularize 1.5, decouple 1.4, untangle 1.6, maintainable 1.0, dead+code 1.2, without+change 1.4, \
 smaller+function 1.2, break+up 1.1, same+behaviour 1.3, same+behavior 1.3, repetition 0.9, \
 god+class 1.3, rewrite+this 0.4, legacy 0.5, into+one 0.6, repeated 0.8, maintain 0.8, separate \
 0.5, messy 0.8, into+smaller 1.0, into+separate 0.9
explain_code: explain 0.9, what+do 0.4, this+function 1.0, this+code 1.1, this+class 0.9, \
 walk+through 0.9, walk+me 1.1, this+snippet 1.2, this+script 0.9, how+do 0.3, this+query 0.7, \
 this+regex 1.2, line+by 0.9, this+method 0.9, code+do 1.4, function+do 1.4, work+here 0.6, \
 this+loop 1.1, this+module 0.8, inherit 0.8, understand 0.7, not+understand 0.8, work 0.3, \
 what+happen 0.5, does+this 0.6, do+this 0.4, script+do 1.4
health_check: health+check 2.6, healthcheck 2.6, healthy 1.8, health 1.0, up+and 1.2, is+up 1.2, \
 ping 1.4, alive 1.5, uptime 1.6, reachable 1.5, disk+space 1.3, respond 0.7, heartbeat 1.5, \
 liveness 1.8, readiness 1.5, service+up 1.5, is+running 0.9, certificate 0.7, cpu 0.5, \
 disk+usage 1.4, free+space 1.3, still+running 1.5, site+down 1.2, available 0.3, ok 0.4, \
 up+right 1.0, queue+depth 1.0, accept+connection 1.4, in+good+shape 1.0, good+shape 1.3, \
 responsive 1.0, replica 0.4
status_update: status+update 2.8, status 0.9, progress 1.2, standup 1.8, stand-up 1.8, \
 let+the+team 0.9, let+everyone 1.2, the+team 0.4, update+for 0.8, status+report 1.4, \
 status+message 2.0, slack 0.9, post+a 0.8, announce 0.9, notify 0.9, where+we 0.9, eta 0.8, \
 done+so 1.0, tell+the+channel 1.0, the+channel 0.8, stakeholder 0.6, one-liner 0.6, what+we+got \
 0.8, short+update 1.8, quick+update 1.8, we+are+at 0.8, on+track 1.0, progress+note 1.2
format_text: format 1.6, reformat 2.4, markdown 1.0, indent 1.4, pretty 1.0, pretty-print 1.8, \
 alphabetically 1.4, sort+these 1.2, sort+this 1.0, uppercase 1.4, lowercase 1.4, title+case 1.6, \
 bullet 0.9, json 0.5, csv 0.5, yaml 0.5, into+a+table 1.0, a+table 0.7, whitespace 1.0, \
 camelcase 1.3, snake_case 1.3, capitalise 1.4, capitalize 1.4, as+json 0.9, to+json 1.1, to+csv \
 1.1, to+yaml 1.1, to+markdown 1.2, grammar 0.8, punctuation 1.4, typo 0.6, line+break 1.2, \
 numbered+list 1.2, align 0.9, iso+8601 0.9, turn+this 0.5, proofread 1.2, spelling 1.0, wrap 0.6
classify_text: classify 2.2, categorize 2.0, categorise 2.0, sentiment 2.0, label 1.3, spam 1.6, \
 positive 0.9, negative 0.9, which+category 1.8, category 1.2, tag 0.9, triage 1.2, topic 0.4, \
 urgent 0.9, toxic 1.2, intent 1.2, is+this 0.4, of+these 0.5, one+of 0.7, which+of 0.6, bucket \
 0.9, priority 0.4, complaint 0.7, genuine 0.6, phishing 1.3, which+department 1.3, which+team \
 1.0, which+queue 1.5, belong 0.9, review+happy 1.0, angry 0.8, or+not 0.5
extract_data: extract 2.0, pull+out 1.6, pull+the 0.6, parse 1.0, invoice 1.0, all+the 0.5, \
 email+address 1.0, phone+number 1.0, list+every 0.8, list+all 0.8, name+and 0.3, field 0.5, \
 entity 1.1, dates 0.5, mention 0.7, find+all 0.8, from+the 0.3, from+this 0.5, amount 0.6, \
 receipt 0.9, get+the 0.3, every+person 0.8, resume 0.3, out+of 0.3, order+number 1.0, total 0.4, \
 structured 0.6, scrape 0.9, key-value 1.0, give+me+the 0.3, vendor 0.5, due+date 1.0
summarize: summarize 2.6, summarise 2.6, summary 2.0, tl;dr 2.6, tldr 2.6, key+point 1.6, \
 main+point 1.6, shorten 1.5, condense 1.8, gist 2.0, in+brief 1.2, boil+down 1.8, takeaway 1.4, \
 in+a+nutshell 1.2, nutshell 1.4, recap 1.6, digest 1.2, highlight 0.9, abstract 0.7, sum+up 2.0, \
 essential 0.5, long+thread 0.8, bring+me+up 0.9, up+to+speed 1.2, short+version 1.5
translate: translate 2.6, translation 2.0, french 1.0, german 1.0, spanish 1.0, italian 1.0, \
 japanese 1.0, chinese 1.0, portuguese 1.0, dutch 1.0, russian 1.0, korean 1.0, polish 0.7, \
 arabic 1.0, into+english 1.4, in+english 0.7, say+in 0.8, localize 1.6, localise 1.6, hindi 1.0, \
 do+you+say 1.0, swedish 1.0, language 0.3, turkish 1.0, native+speaker 0.7, mandarin 1.0
write_text: email 0.9, write+an 0.4, draft 1.4, letter 1.2, blog 1.3, article 0.6, essay 1.3, \
 documentation 1.0, readme 1.6, introduction 0.8, paragraph 0.8, tone 0.7, poem 1.6, story 1.2, \
 tweet 1.4, post 0.4, announcement 1.0, slogan 1.5, tagline 1.5, reply 0.8, apologise 1.0, \
 apologize 1.0, rephrase 1.2, reword 1.4, rewrite 0.9, polite 1.0, invitation 1.0, cover+letter \
 1.6, speech 1.0, docs 0.7, user+guide 1.2, compose 1.3, customer 0.2, newsletter 1.3, \
 haiku+about 1.6, product+description 1.4, headline 0.9, friendly 0.7, docstring 0.9, thank 0.5
report: report 1.4, write+up 1.2, findings 1.1, weekly 0.9, monthly 0.9, quarterly 0.6, figures \
 0.9, dashboard 0.7, postmortem 1.8, post-mortem 1.8, metric 0.7, executive 0.8, management 0.5, \
 kpi 1.3, these+number 1.1, trend 0.6, weekly+report 1.6, incident+report 1.8, test+result 0.6, \
 stat 0.7, write-up 1.5, retrospective 1.0, audit+report 1.6, sprint 0.8, compile+the 0.8, number \
 0.5, stakeholder 0.5
research: research 2.0, literature 1.8, state+of 1.0, survey 1.3, study 0.9, evidence 1.0, \
 source 0.5, history+of 1.0, what+is+known 1.5, is+known 1.2, overview+of 1.0, in-depth 1.2, \
 in+depth 1.1, paper 0.8, academic 1.2, cite 1.2, citation 1.2, deep+dive 1.6, landscape 1.0, \
 investigate+how 0.8, current+state 1.1, explore 0.9, comprehensive 0.9, background+on 1.0, \
 thorough 0.7, published 0.8, scientific 0.9, everything+there 1.0, learn+about 0.5, effect+of \
 0.9, regulation 0.5, market+for 0.7, understanding+of 0.5, impact+of 0.9
strategic_analysis: strategy 1.8, strategic 2.0, market 0.8, roadmap 1.4, business 0.8, \
 competitor 1.1, competitive 1.1, swot 2.4, long-term 1.0, long+term 1.0, invest 1.2, risk 0.7, \
 pricing 0.9, growth 0.7, acquire 1.3, acquisition 1.3, expand 0.9, revenue 0.8, should+we 0.9, \
 five+year 1.2, three+year 1.2, next+year 0.5, hire 0.6, outsource 1.4, board 0.7, go-to-market \
 2.0, scenario 0.8, enter 0.5, in-house 0.9, open+source+our 1.2, monetize 1.3, position 0.4, \
 vision 0.6, bet 0.6, sunset 0.8, margin 0.7, company 0.4, europe 0.3, runway 1.2, headcount 1.2
architecture_review: architecture 2.0, architectural 2.0, system+design 2.0, design+a 0.8, \
 scalable 1.0, scale 0.7, microservice 1.3, monolith 1.3, event-driven 1.2, distributed 0.8, \
 high+availability 1.1, sharding 1.1, shard 1.1, data+model 0.8, throughput 0.6, message+queue \
 0.8, service+boundary 1.4, bottleneck 0.8, topology 1.1, tenant 0.8, multi-tenant 1.2, \
 multi-region 1.3, schema+design 1.1, failover 0.7, users+a 0.4, million+user 1.2, blueprint 1.0, \
 backend+for 0.7, caching+layer 1.0, cqrs 1.3, coupling 0.9, service+talk 0.9, single+point 1.3, \
 would+you+design 1.2, our+design 1.0, million+request 1.0, concurrent+user 1.0, set-up 0.2
compare_options: compare 1.9, comparison 1.8, versus 1.7, vs 1.7, pros+and 1.6, trade-off 1.3, \
 tradeoff 1.3, better 0.5, alternative 1.2, which+one 0.9, or+should 0.9, option 1.0, \
 difference+between 1.3, choose+between 1.7, decide+between 1.7, weigh 1.2, advantage 1.0, pick \
 0.7, stack+up 1.2, recommend 0.6, best+choice 1.2, over+the+other 1.0, suit 0.6, either 0.5, \
 rather 0.4, torn+between 1.9, which+would 0.9, differ 0.9, side+by 1.2, against 0.5
"""

_WORD = re.compile(r"[a-z0-9][a-z0-9_'+#;.-]*[a-z0-9'+#]|[a-z0-9]")


def _forms(word: str) -> tuple[str, ...]:
    """Return a base word with its regular English forms."""
    if len(word) < 3 or not word.isalpha():
        return (word, f"{word}s") if word.isalpha() else (word,)
    forms = [word, f"{word}s", f"{word}es", f"{word}ed", f"{word}d", f"{word}ing", f"{word}ly"]
    if word.endswith("e"):
        forms += [f"{word[:-1]}ing", f"{word}r", f"{word[:-1]}ion"]
    elif word.endswith("y"):
        forms += [f"{word[:-1]}ies", f"{word[:-1]}ied"]
    else:
        forms += [f"{word}{word[-1]}ed", f"{word}{word[-1]}ing"]
    return tuple(forms)


Votes = tuple[tuple[str, float], ...]


def _read_table() -> tuple[dict[str, str], dict[str | tuple[str, str], Votes]]:
    votes: dict[str | tuple[str, str], list[tuple[str, float]]] = {}
    bases: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        name, _, entries = line.partition(":")
        for entry in entries.split(","):
            words, weight = entry.split()
            parts = words.split("+")
            bases.update({form: word for word in parts for form in _forms(word)})
            for key in (words,) if len(parts) == 1 else pairwise(parts):
                votes.setdefault(key, []).append((name, float(weight) / max(1, len(parts) - 1)))
    bases |= {word: word for key in votes for word in ((key,) if isinstance(key, str) else key)}
    bases |= {"does": "do", "did": "do", "was": "is", "were": "are", "dying": "die"}
    return bases, {key: tuple(found) for key, found in votes.items()}


BASES, VOTES = _read_table()

STACK_TRACE = re.compile(
    r"Traceback \(most recent|^[ \t]{1,40}at [\w.$<>]+\(.{0,200}:\d+\)|Exception in thread|panic: |"
    r"(?:Error|Exception): ",
    re.MULTILINE,
)
LOG_LINE = re.compile(
    r"^[^\w\n]{0,3}(?:\d{4}-\d\d-\d\d[T ]\d\d:|\w{3} +\d{1,2} \d\d:\d\d:|\d\d:\d\d:\d\d)"
    r"|^\d+\.\d+\.\d+\.\d+ - "
    r"|^[^\w\n]{0,3}(?:INFO|WARN|ERROR|DEBUG|FATAL)\b",
    re.MULTILINE,
)
DIFF = re.compile(r"^diff --git |^@@ .*@@|^\+\+\+ ", re.MULTILINE)
CODE = re.compile(
    r"```|^[ \t]{0,40}(?:def |class |import |from \w+ import|func |fn |public |const |let |SELECT |"
    r"#include|if \(|for \(|while \(|return )",
    re.MULTILINE,
)


def words_of(text: str) -> list[str]:
    """Return the lower-case words of a text."""
    return _WORD.findall(text.lower())
