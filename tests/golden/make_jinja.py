"""Writes text/jinja_cases.json: what Jinja2, set up as transformers does it, makes of small templates, a feature of the
language each. nibble must make the same text, or refuse where Jinja2 does.
usage: make_jinja.py        (in an environment with transformers and jinja2)"""
import datetime
import json
import pathlib

import transformers.utils.chat_template_utils as chat


class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 15, 12, 0, 0)


chat.datetime = Pinned
VARIABLES = {
    "n": 3, "f": 2.5, "s": "Hello World", "e": "", "t": True, "z": None, "u8": "Grüße 世界 👋🏽", "l": [3, 1, 2], "nested": [[1, [2]], {"a": [True, None]}],
    "d": {"b": 2, "a": 1, "items": [1], "c d": "x"}, "words": ["b", "A", "c", "a"], "big": 9007199254740993, "tiny": 1e-7, "huge": 1e22, "neg": -7,
    "people": [{"name": "Ann", "age": 30, "tags": ["x"]}, {"name": "bob", "age": 25, "address": {"city": "Bern"}}, {"name": "Cid", "age": 30}],
    "quoted": "it's \"so\" \\ \n\t\u0007\u00e9\u200b", "html": "<a href='x'>&\"</a>", "lines": "one\ntwo\r\n\nthree", "spaced": "  a  b \n",
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}],
}

# A line each: templates that print. {{ }} stands around those that begin with no brace.
EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 / 2
7 // 2
-7 // 2
7 % -3
-7 % 3
7.5 % 2
2 ** 10
2 ** -1
2 ** 3 ** 2
-2 ** 2
10 / 5
1e3
1_000
0x1F + 0b11 + 0o17
1.0
0.1 + 0.2
1e16
123456789012345678
1e15
0.0001
0.00001
1.5e300 * 1e10
big
tiny
huge
neg
f * n
n * 1.0
true + true
t
z
not t
n / 0
n // 0
n % 0
9223372036854775807
'a' + 'b'
'a' 'b' "c"
'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1]
'ab' * 3
3 * 'ab'
'ab' * -1
[1] * 2
[1] + [2]
(1,) + (2,)
'a' + 1
1 + 'a'
'a' - 'b'
[1] + (1,)
none + 1
[1, 2.0, 'x', none, true, {'a': (1,)}, (), (1, 2)]
{'a': 1, 'b': [1, {'c': none}]}
{1: 2, none: 3, (1, 2): 4}
nested
d
people
quoted
[quoted]
["it's", 'say "x"', 'both \' and "']
['\x00\x7f\u200b\u00e9\U0001f600']
'\n\t\\\'\"\101\x41\u0041\q'
s[0]
s[-1]
s[20]
s[1:3]
s[::-1]
s[::2]
s[-3:]
s[:-3]
s[5:1]
u8[0:5]
u8[6:8]
u8[-1]
u8|length
u8[::-1]
l[1:]
l[::-1]
l[-2:]
l[5]
l['a']
l.0
(1, 2, 3)[1:]
range(10)[2:5]|list
range(5)|list
range(2, 8, 3)|list
range(5, 0, -2)|list
range(3)
range(3)[1]
range(3)|length
range(100001)
d.a
d['a']
d.items is callable
d['items']
d.missing
d.missing.more
d['c d']
missing
missing.attribute
missing['x']
missing()
missing + 1
missing ~ 'x'
missing == missing
missing|length
missing|list
missing|upper
missing or 'default'
missing and 1
not missing
'x' in missing
missing in [1]
missing < 1
s.upper()
s.lower()
s.title()
s.capitalize()
s.swapcase()
s.foo
s.foo()
s.__class__
s.__class__.__mro__
''.join(['a', 'b'])
', '.join(words)
', '.join(l)
'-'.join('abc')
s.split()
s.split('o')
s.split('o', 1)
s.rsplit('o', 1)
'a,b,,c'.split(',')
'  a  b '.split()
'  a  b '.split(None, 1)
'  a  b c '.rsplit(None, 1)
' a b c '.rsplit(None, 2)
'a  b  c'.rsplit(maxsplit=1)
'abc'.split('')
''.split()
''.split(',')
lines.splitlines()
lines.splitlines(true)
'a\x0bb\x1cc\u2028d\n'.splitlines()
spaced.strip()
[spaced.lstrip(), spaced.rstrip()]
'xxaxx'.strip('x')
'xyaxy'.strip('yx')
'xxaxx'.lstrip('x')
'xxaxx'.rstrip('x')
'\u00a0 a\u2003'.strip()
s.startswith('He')
s.startswith(('x', 'H'))
s.startswith('l', 2)
s.endswith('ld')
s.endswith(1)
s.find('o')
s.find('o', 5)
s.find('o', 5, 6)
s.find('z')
s.rfind('o')
u8.find('世')
s.index('W')
s.index('z')
s.rindex('o')
s.count('o')
'aaaa'.count('aa')
'abc'.count('')
s.replace('o', '0')
s.replace('o', '0', 1)
'abc'.replace('', '-')
'abc'.replace('', '-', 2)
'abc'.replace('b', '')
'7'.zfill(3)
'-7'.zfill(4)
'a'.center(4)
'ab'.center(5)
'a'.ljust(3, '.')
'a'.rjust(3) ~ '|'
'abc'.center(6, '*')
'abcd'.center(7, '*')
'abc'.partition('b')
'abcbd'.rpartition('b')
'abc'.partition('z')
'abc'.rpartition('z')
'prefix_x'.removeprefix('prefix_')
'x.txt'.removesuffix('.txt')
'x'.removesuffix('')
'abc'.isalpha()
'a1'.isalnum()
'12'.isdigit()
'12'.isnumeric()
'1a'.isdigit()
''.isalpha()
' \n'.isspace()
'ABC'.isupper()
'aB'.islower()
'a1'.islower()
'ß'.upper()
'éÀ'.lower()
'éà'.upper()
"they're bill's".title()
'{} {}'.format(1, 'a')
'{1} {0}'.format(1, 'a')
'{a} {b[0]} {c.x}'.format(a=1, b=[2], c={'x': 3})
'{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
'{:5}|{:05}|{:+}|{:,}'.format(42, 42, 42, 1234567)
'{:.2f} {:e} {:g} {:%}'.format(3.14159, 12345.678, 0.5, 0.25)
'{:x} {:X} {:o} {:b} {:#x}'.format(255, 255, 8, 5, 255)
'{!r} {!s}'.format('a', 'b')
'{{}}'.format()
'{'.format()
'{}'.format()
'{:08.3f}'.format(-3.14159)
'{:.3}'.format('abcdef')
'{:d}'.format(true)
'{}'.format(true)
'%s and %s' % ('a', 1)
'%s' % 'x'
'%d %5d|%-5d|%05d' % (1, 2, 3, 4)
'%.2f %e %g' % (3.14159, 12345.6789, 0.0001)
'%x %X %o' % (255, 255, 8)
'%r' % 'a'
'%%' % ()
'%(a)s %(b)d' % {'a': 'x', 'b': 2}
'%s' % (1, 2)
'%s %s' % 'a'
'%5s|%-5s|' % ('a', 'b')
'%d' % 3.7
'%d' % 'x'
'%+d % d' % (5, 5)
'%s' % [1]
'%s' % {'a': 1}
'plain' % 1
1 == 1.0
1 == true
'1' == 1
[1] == [1.0]
[1] == (1,)
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
none == false
1 < 2 < 3
1 < 3 < 2
1 < 2 > 0
'a' < 'b'
[1, 2] < [1, 3]
'a' < 1
none < 1
[] < ()
'l' in s
'z' not in s
1 in l
1 in s
'a' in d
'a' in none
1 in 5
[1] in d
2 in range(3)
1 and 2
0 or 'x'
'' or [] or 'last'
0 and missing.x
1 or missing.x
not 1 == 2
'a' if t else 'b'
'a' if e else 'b'
'a' if e
('a' if e) is defined
1 if 0 else 2 if 0 else 3
-n
+n
-'a'
not 'a'
[1, 2,]
{'a': 1,}
(1,)
()
1, 2
s|upper
s|lower
s|title
s|capitalize
s|length
s|count
s|first
s|last
s|list
s|reverse
s|trim
'xax'|trim('x')
spaced|trim
s|replace('o', '0')
s|replace('o', '0', 1)
12|replace(1, 'x')
s|truncate(5)
'foo bar baz qux'|truncate(9)
'foo bar baz qux'|truncate(9, true)
'foo bar baz qux'|truncate(11)
'foo bar baz qux'|truncate(11, false, '...', 0)
s|truncate(2)
s|center(20) ~ '|'
s|wordcount
html|e
html|escape|e
html|forceescape
html|safe
(html|safe) + '<b>'
'<b>' + (html|safe)
(html|safe) ~ '<b>'
(html|e) == html
'<b>'|safe|upper
('<b>'|safe).replace('b', '<')
('<'|safe).join(['<', '>'])
('<%s>'|safe) % '<'
[html|safe]
lines|indent
lines|indent(2)
lines|indent(2, true)
lines|indent(2, true, true)
lines|indent('> ')
lines|indent(width=2, first=true)
''|indent(2, true)
none|indent
1|string + 'x'
none|string
[1]|string
'42'|int
'42.7'|int
' 42 '|int
'x'|int
'x'|int(7)
'0x1f'|int(0, 16)
'ff'|int(base=16)
3.99|int
-3.99|int
true|int
none|int
[]|int(5)
'1_000'|int
'1e3'|int
'1.5'|float
'x'|float
'x'|float(1.5)
3|float
'inf'|float
'nan'|float
3.14159|round
3.14159|round(2)
2.5|round
3.5|round
2.675|round(2)
42.55|round(1, 'floor')
42.55|round(1, 'ceil')
42|round
1234|round(-2)
-5|abs
-5.5|abs
'x'|abs
l|sum
l|max
l|min
[]|max
words|max
words|min
words|sort
words|sort(case_sensitive=true)
words|sort(reverse=true)
l|sort
[1, 'a']|sort
people|sort(attribute='age')|map(attribute='name')|list
people|sort(attribute='age,name', reverse=true)|map(attribute='name')|join(',')
people|map(attribute='name')|list
people|map(attribute='address.city')|list
people|map(attribute='address.city', default='?')|list
people|map(attribute='tags.0')|list
people|map(attribute='age')|sum
people|sum(attribute='age')
people|sum('age', 100)
words|map('upper')|list
words|map('replace', 'a', 'x')|join(' ')
words|map('nofilter')|list
words|map()|list
people|selectattr('age', 'equalto', 30)|map(attribute='name')|list
people|selectattr('age', '>', 26)|list|length
people|selectattr('address')|map(attribute='name')|list
people|selectattr('address', 'defined')|list|length
people|rejectattr('age', 'eq', 30)|map(attribute='name')|first
people|rejectattr('tags')|list|length
[1, 2, 3, 4]|select('odd')|list
[1, 2, 3, 4]|select('divisibleby', 2)|list
[0, 1, '', 'a']|select|list
[0, 1, '', 'a']|reject|list
[1, 2, 3, 4]|reject('even')|join
['a', 'b']|select('in', ['a'])|list
people|groupby('age')|list
people|groupby('address.city', default='none')|map('first')|list
['a', 'B', 'b', 'A']|unique|list
['a', 'B', 'b', 'A']|unique(case_sensitive=true)|list
people|unique(attribute='age')|map(attribute='name')|list
[[1], [1]]|unique|list
[1, 2, 3, 4, 5]|batch(2)|list
[1, 2, 3, 4, 5]|batch(2, 'x')|list
[1, 2, 3, 4, 5]|slice(2)|list
[1, 2, 3, 4, 5]|slice(3, 'x')|list
l|first
[]|first
[]|last
l|last
(l|map('string'))|last
l|reverse|list
(1, 2)|reverse|list
l|join
l|join(', ')
people|join(', ', attribute='name')
5|join
d|list
d|length
d|items|list
d.items()|list
d.items()
d.keys()
d.values()
d.keys()|list
{'x': 1}.items()
{'x': 1}.get('x')
{'x': 1}.get('y')
{'x': 1}.get('y', 2)
{'x': 1}.get([])
d|dictsort
{'b': 1, 'A': 2}|dictsort
{'b': 1, 'A': 2}|dictsort(true)
{'b': 1, 'A': 2}|dictsort(false, 'value')
{'b': 1, 'A': 2}|dictsort(by='value', reverse=true)
{'b': 1, 2: 2}|dictsort
l|dictsort
d.update({'x': 1})
d.update
d.pop('a')
l.append(4)
l.append
l.index(1)
l.index(9)
l.count(1)
(1, 1).count(1)
missing|items|list
5|items|list
missing|default('x')
z|default('x')
z|default('x', true)
e|d('x', boolean=true)
missing|default
s|default
s|string|upper|lower|title
d|tojson
nested|tojson
quoted|tojson
u8|tojson
u8|tojson(ensure_ascii=true)
html|tojson
d|tojson(indent=2)
nested|tojson(indent=4)
[]|tojson(indent=2)
{}|tojson(indent=2)
d|tojson(indent=0)
d|tojson(indent='--')
d|tojson(separators=(',', ':'))
d|tojson(sort_keys=true)
{2: 1, 'a': 2}|tojson
{none: 1, true: 2, 1.5: 3}|tojson
{(1, 2): 1}|tojson
(1, 2)|tojson
1.0|tojson
1e100|tojson
'nan'|float|tojson
missing|tojson
[missing]|tojson
l|map('string')|tojson
d.items()|tojson
range(3)|tojson
'\u0000\u001f\u007f\u2028'|tojson
['👋']|tojson(ensure_ascii=true)
'/'|tojson
s|urlencode
'a/b ü?&'|urlencode
s|attr('upper') is callable
d|attr('a')
s|nofilter
s is nofilter
1 is odd
2 is even
4 is divisibleby 2
4 is divisibleby(3)
missing is defined
missing is undefined
missing is not defined
z is none
z is defined
t is true
f is true
t is boolean
1 is boolean
1 is number
true is number
1.5 is float
1 is float
1 is integer
true is integer
s is string
(html|safe) is string
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
5 is sequence
d.items() is sequence
range(3) is sequence
missing is sequence
l is iterable
s is iterable
5 is iterable
z is iterable
d.items() is iterable
(l|map('string')) is iterable
missing is iterable
range is callable
s is callable
'a' is lower
'A' is upper
1 is sameas 1
z is sameas none
l is sameas l
1 is sameas true
1 in [1] is true
'a' is in ['a']
1 is eq 1
1 is ne 2
2 is gt 1
1 is lessthan 2
1 is == 1
'upper' is filter
'nofilter' is filter
'odd' is test
(html|e) is escaped
html is escaped
not 1 is odd
1 is odd and 2 is even
s is string and s|length > 3
dict(a=1, b=2)
dict({'a': 1}, b=2)
dict([('a', 1)])
dict([1])
namespace(a=1).a
namespace({'a': 1}).a
namespace(_a=1)
namespace(a=1)['a']
namespace(a=1).b
range()
range('a')
range(1, 2, 0)
strftime_now('%Y-%m-%d %H:%M:%S')
strftime_now('%d %b %Y, %A %B %y %j %p %I')
strftime_now('%-d/%-m')
raise_exception('No!')
raise_exception('a\nb')
s[1]|upper ~ s[2:]|lower
-1|abs
(-1)|abs
2 + 3|string
(2 + 3)|string
[1, 2]|length + 1
d['b'] * 2
s.split(' ')[1][0]
s.split(' ')|map('lower')|join('_')
people[0].name[0]
people[0]['tags'][0]
people.0.name
people[1].address.city
'a' ~ 'b' + 'c'
'a' + 'b' ~ 'c'
1 + 1 ~ 2 + 2
1 ~ 2 * 3
'%s' % 'a' ~ 'b'
[x for x in l]
lambda: 1
a = 1
s[
{{ 1 }
1 +
'open
{'a' 1}
[1 2]
(1
s.
s|
1 is
in
and
$x
"""

TEMPLATES = [
    # Whitespace.
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}  \n b{% endif %}\n", "  {% if t %}x{% endif %}  y", "a {%- if t -%} b {%- endif -%} c", "a\n{%+ if t %}\nb{% endif +%}\nc",
    "  {{ n }}\n  {{- n }}\n{{ n -}}  \n x", "{# c #}a\n{# c #}\nb\n  {#- c -#}\n d", "a\n\n", "a\n", "\na", "a\r\nb\rc\n", "{{ n }}\n", "{% set x = 1 %}\n{{ x }}\n\n", "{% raw %}{{ x }}{% endraw %}",
    "a {%- raw -%} {{ x }} {%- endraw -%} b", "{% raw %}\n  x\n  {% endraw %}\ny", "x\n  {# c #}\ny", "x {# c #} y", "{{ '{{' }}{{ '%}' }}", "{{ {'a': {'b': 1}}['a']['b'] }}", "{{'a'}}{{\"b\"}}",
    "{%- for x in l -%}\n {{ x }}\n{%- endfor -%}", "{% for x in l %}\n{{ x }}\n{% endfor %}", "\u00a0{%- if t %}x{% endif %}", "a{#- never ends", "a{% if t %}", "a{{ t", "a{% raw %}x", "{{ t }}}", "{ { x } }", "{%if t%}y{%endif%}", "{#{{ x }}#}", "{{- ' x ' -}}  y", "  \n\t{%- set x = 1 -%}\n  z",
    # Statements.
    "{% if n > 2 %}a{% elif n > 1 %}b{% else %}c{% endif %}", "{% if n > 5 %}a{% elif n > 2 %}b{% else %}c{% endif %}", "{% if e %}a{% elif z %}b{% else %}c{% endif %}", "{% if e %}a{% elif z %}b{% endif %}", "{% if n > 5 %}a{% elif n == 3 %}{% if t %}x{% endif %}{% elif n > 2 %}b{% endif %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}|{{ loop.nextitem }} {% endfor %}", "{% for x in l %}{{ loop.previtem is defined }}{% if loop.nextitem is not defined %}end{% endif %}{% endfor %}",
    "{% for x in [] %}a{% else %}empty{% endfor %}", "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}", "{% for x in l if x > 5 %}a{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k in d %}{{ k }};{% endfor %}", "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}", "{% for a, b in [(1, 2, 3)] %}{% endfor %}", "{% for a, b in [(1,)] %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for c in s %}{{ c }}.{% endfor %}", "{% for x in none %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for x in missing %}{% else %}none{% endfor %}", "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% break %}", "{% for x in l %}{% for y in l %}{{ loop.index }}{% if y == x %}{% break %}{% endif %}{% endfor %}|{% endfor %}", "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in l %}{% set y = x %}{% endfor %}{{ y }}", "{% set y = 0 %}{% for x in l %}{% set y = y + x %}{{ y }}{% endfor %}{{ y }}", "{% set ns = namespace(y=0) %}{% for x in l %}{% set ns.y = ns.y + x %}{% endfor %}{{ ns.y }}", "{% set ns = namespace() %}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}", "{% set d.x = 1 %}", "{% set missing.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set a = 1, 2 %}{{ a }}", "{% set x %}a{{ n }}{% endset %}{{ x }}{{ x|length }}", "{% set x | upper %}abc{% endset %}{{ x }}", "{% set x | upper | replace('A', '-') %}abc{% endset %}{{ x }}", "{% set x %}{% set y = 1 %}{% endset %}{{ y }}", "{% if t %}{% set y = 1 %}{% endif %}{{ y }}", "{% if e %}{% set s = 1 %}{% endif %}{{ s }}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}", "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b')|upper %}a{% endfilter %}",
    "{% for x in l recursive %}{{ x }}{% if x == 3 %}({{ loop([9, 8]) }}){% endif %}{% endfor %}", "{% for x in [[1, [2]], 3] recursive %}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}", "{% for x in l %}{{ loop(x) }}{% endfor %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=5) }}{{ m() }}", "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}", "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{% endmacro %}{{ m(x=2) }}", "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}",
    "{% macro m(a, b=a) %}{{ b }}{% endmacro %}{{ m(7) }}", "{% macro m() %}{{ s }}{% set s = 1 %}{% endmacro %}{{ m() }}{{ s }}", "{% macro m() %}{{ q }}{% endmacro %}{% set q = 5 %}{{ m() }}", "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}", "{% macro m(x) %}{{ x }}{% if x > 0 %}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}x{{ n }}{% endcall %}", "{% macro m() %}{{ caller(1, b=2) }}{% endmacro %}{% call(a, b=3) m() %}{{ a }}{{ b }}{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}", "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}", "{% macro m() %}  a\n{% endmacro %}[{{ m()|trim }}]", "{% macro m() %}{% endmacro %}{{ m.name }}{{ m() is string }}{{ m is callable }}", "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% macro m() %}{{ loop }}{% endmacro %}{% for x in [1] %}{{ m() }}{% endfor %}", "{% set f = s.upper %}{{ f() }}", "{% set m = 'x' %}{{ m.upper() }}", "{% block b %}{{ n }}{% endblock %}", "{% print n %}", "{% autoescape false %}{{ html }}{% endautoescape %}", "{% generation %}{{ n }}{% set q = 1 %}{% endgeneration %}{{ q }}",
    "{% do l.append(1) %}", "{% include 'x' %}", "{% if e %}{% include 'x' %}{% endif %}ok", "{% unknown %}", "{% endif %}", "{% if t %}{% endfor %}", "{% for x in l %}{% endif %}", "{% else %}", "{% set x %}", "{% set 1 = 2 %}", "{% set true = 2 %}", "{% for true in l %}{% endfor %}", "{% if %}x{% endif %}", "{% macro m(a=1, b) %}{% endmacro %}", "{% call s %}{% endcall %}", "{% if e %}{{ s|nofilter }}{% endif %}ok", "{{ s|nofilter if e else 'ok' }}", "{% if t %}{{ s|nofilter }}{% endif %}", "{% for x in l %}{{ s|nofilter }}{% endfor %}",
    "{% set x = l|map('string') %}{{ x|list }}{{ x|list }}", "{% set x = people|selectattr('age', 'gt', 99) %}{% if x %}truthy{% endif %}", "{% set x = l|map('string') %}{{ x|first }}{{ x|list }}", "{% set x = l|map('nofilter') %}ok", "{% set x = d.items() %}{{ x|list|length }}{{ x|length }}", "{% set x = messages|selectattr('role', 'equalto', 'user')|list %}{{ x[0].content }}{{ x|length }}",
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content }}{% endfor %}{% if add_generation_prompt %}x{% endif %}", "{% for m in messages[1:] %}{{ m.role }}{% endfor %}", "{% for m in messages|reverse %}{{ m.role }}{% endfor %}", "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }}{% endfor %}", "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ system }}{{ rest|length }}",
    "{% set x = {'a': 1} %}{% set x = dict(x, b=2) %}{{ x }}", "{% set x = [] %}{% for y in l %}{% set x = x + [y] %}{% endfor %}{{ x }}", "{% set ns = namespace(x=[]) %}{% for y in l %}{% set ns.x = ns.x + [y * 2] %}{% endfor %}{{ ns.x|join(',') }}", "{{ namespace }}" if False else "{{ n }}", "{% for i in range(3) %}{% for j in range(i) %}{{ i }}{{ j }} {% endfor %}{% endfor %}", "{% set loop = 1 %}{{ loop }}", "{% for k, v in {'b': 1, 'a': 2}|dictsort %}{{ k }}{{ v }}{% endfor %}", "{%- set x = namespace(a=1) -%}{%- set y = x -%}{%- set y.a = 2 -%}{{ x.a }}", "{% for x in l -%}\n  {{ x }}\n{%- endfor %}\n\nend",
    "{{ messages[-1].content if messages and messages[-1].role == 'assistant' else 'none' }}", "{{ (messages|last).role }}", "{{ messages|map(attribute='content')|join('\n') }}", "{% if 'x' in d and d.x is not none %}a{% else %}b{% endif %}", "{% if not (d is defined and d.b) %}a{% else %}b{% endif %}", "{{ d.b is defined and d.b > 1 }}", "{%- macro f(x) -%}{%- if x is string -%}'{{ x }}'{%- elif x is mapping -%}{ {%- for k, v in x|items -%}{{ k }}:{{ f(v) }}{{ ',' if not loop.last }}{%- endfor -%} }{%- else -%}{{ x|tojson }}{%- endif -%}{%- endmacro -%}{{ f({'a': 'b', 'c': {'d': [1, none]}}) }}",
    # Names that a scope sets are not those of the variables before.
    "{% set s %}{{ s }}{% endset %}[{{ s }}]", "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}{% set s = 1 %}{{ m() }}", "{% macro m() %}{{ s }}{% endmacro %}{{ s }}{{ m() }}{% set s = 1 %}{{ m() }}", "{% macro m() %}{{ s }}{% endmacro %}{{ m() }}{% if t %}{% set s = 1 %}{% endif %}{{ m() }}",
    "{% for x in l %}{% filter upper %}{{ s }}{% endfilter %}{% set s = x %}{% endfor %}", "{% macro m() %}{% filter upper %}{{ s }}{% endfilter %}{% set s = 1 %}{% endmacro %}{{ m() }}", "{% set s = s ~ 1 %}{{ s }}", "{% set s = 2 %}{% for x in l %}{% filter upper %}{{ s }}{% endfilter %}{% set s = x %}{{ s }}{% endfor %}",
    "{% set l = l[1:] %}{{ l }}", "{% if e %}{% set s = 1 %}{% else %}{% filter upper %}{{ s }}{% endfilter %}{% endif %}", "{{ {}|truncate(5) }}{{ missing|truncate }}", "{{ 5|truncate(5) }}", "{{ ('a' * 30)|truncate(9) }}", "{{ n[1:] }}", "{{ d[1:] }}", "{{ z[:1] }}", "{{ missing[1:] }}",
]


def cases():
    for line in EXPRESSIONS.strip("\n").split("\n"):
        yield line if line.startswith("{{ ") else "{{ " + line + " }}"
    yield from dict.fromkeys(TEMPLATES)


def result(template):
    try:
        return {"text": chat._compile_jinja_template(template).render(**json.loads(json.dumps(VARIABLES)))}
    except Exception as e:
        return {"error": f"{type(e).__name__}: {e}"[:200]}


if __name__ == "__main__":
    out = {"variables": VARIABLES, "cases": [{"template": t, **result(t)} for t in cases()]}
    path = pathlib.Path(__file__).parent / "text" / "jinja_cases.json"
    path.write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n")
    print(len(out["cases"]), "cases,", sum("error" in c for c in out["cases"]), "refused")
