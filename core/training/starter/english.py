"""Ordinary English words and sentences put together from them,
so that everyday words are known before fine-tuning."""

from core.training.starter.words import Draw

_NOUNS = (
    "account address advice agreement air airport answer area arm article aunt author baby bag ball bank "
    "bath beach bed bell bill bird board boat body book border boss box boy breakfast bridge brother "
    "building bus business butter button cable calendar call camp card care carpet case cause chance "
    "change chapter cheese child church circle class clock cloth club coast coat coffee collection company "
    "competition computer condition contract copy corner country course court cousin cover crowd cup "
    "customer daughter day deal decision delivery desk detail dinner direction discussion door dream dress "
    "drink driver ear earth edge effect egg end engine entrance error evening event example exit expert "
    "eye face fact factory family farm father fee field file film fire fish flight floor flower form "
    "friend fruit game garden gate gift girl glass goal gold government grass group guest guide habit hair "
    "half hall hand hat head health heart heat help history hole holiday home hope hotel hour house idea "
    "image income information interest island job juice key kind king kitchen knife knowledge lake land "
    "language law leader leaf lesson letter level life light line link list lunch machine mail manager map "
    "mark market material matter meal meaning meat meeting member memory message metal middle milk mind "
    "minute mistake moment money month morning mother mouth movement museum music name nation nature neck "
    "neighbour news night noise north note number offer office oil operation opinion order package page "
    "pain paint pair paper parcel parent park part partner party passenger path payment peace pen people "
    "period person picture piece plan plane plant plate player point policy pool position post power "
    "present price problem process product program project quality queen question rain reason record "
    "region report request rest result return rice ring risk river road rock room rule salt sample scene "
    "school science screen sea season seat secret service shape sheet ship shirt shoe shop side sign "
    "sister size skin sky sleep snow soap society solution son song sound space sport spring square stage "
    "stamp star start station step stock stone store storm story street student style subject success "
    "sugar summer sun support surface system table tax tea teacher team term test theatre thing thought "
    "ticket time title tool top tour town toy trade traffic train tree trip trouble truck truth uncle unit "
    "use value vegetable view village visit visitor voice wall war waste water way weather week weight "
    "wheel wind window wine winter woman wood word work worker world writer year yard zone battery filter "
    "email website team warranty receipt invoice discount refund contact shipment courier postcode voucher "
    "gallery manual instruction spare socket sensor label screw handle pedal"
).split()
_VERBS = (
    "accept add allow answer arrange ask avoid become begin believe book borrow break bring build buy call "
    "carry catch change charge check choose clean clear climb close collect compare complete connect "
    "consider contain control cook copy count cover create cross cut damage decide deliver describe design "
    "destroy develop discover discuss divide draw drive drop earn eat enjoy enter examine expect explain "
    "explore face feel fill find finish fix follow forget forgive gain gather give guess guide handle hear "
    "help hide hold hope improve include increase inform install introduce invite join keep know learn "
    "leave lend lift like list load lock lose love maintain make manage mark match measure meet mention "
    "miss mix move need notice offer open order own pack paint park pass pay pick place plan play prefer "
    "prepare press prevent print produce promise protect prove provide publish pull push raise reach read "
    "receive recommend record reduce refuse remember remove rent repair repeat replace reply report "
    "request require reset return ride run save see sell send separate serve share ship show sign solve "
    "spend start stop store study suggest supply support take teach tell test thank throw touch train "
    "translate travel treat trust turn understand update use visit wait want warn wash watch wear welcome "
    "win wish write"
).split()
_ADJECTIVES = (
    "able active actual afraid amazing angry annual available average bad basic beautiful big bitter black "
    "blue brave brief bright broad broken brown busy calm careful central certain cheap clean clear clever "
    "cold common complete cool correct cosy critical curious daily dark dead deep different difficult "
    "direct dirty double dry eager early easy electric empty entire equal exact extra fair famous far fast "
    "final fine firm first flat foreign formal free fresh friendly full funny general gentle glad global "
    "good grand great green grey happy hard healthy heavy helpful high honest hot huge human important "
    "indoor innocent international kind large last late lazy left light likely little local long loose "
    "loud low lucky main major modern monthly narrow natural near nervous new next nice noisy normal old "
    "online only open ordinary original own painful past patient perfect personal plain pleasant polite "
    "poor popular possible private proud public pure quick quiet ready real recent red regular rich right "
    "rough round sad safe separate serious sharp short shy sick silent similar simple single slow small "
    "smart smooth social soft sorry special square strange strict strong sudden sure sweet tall tender "
    "terrible thick thin tight tiny tired total true typical unhappy upper useful usual warm weak weekly "
    "wet white whole wide wild wise wonderful wooden wrong yellow young"
).split()
_SMALL = (
    "about above after again against all almost along already also although always among and another any "
    "anyone anything around as at away back because before behind below between both but by can could each "
    "either else enough even ever every everyone everything except few for from further he her here him "
    "his how however i if in inside instead into it its just less many may me might more most much must my "
    "near never no nobody none nor not nothing now of off often on once one or other our out outside over "
    "perhaps please quite rather really she should since so some somebody something sometimes soon still "
    "such than that the their them then there these they this those though through to today together "
    "tomorrow too towards under until up upon us usually very was we well were what when where whether "
    "which while who whole whose why will with within without would yes yesterday yet you your one two "
    "three four five six seven eight nine ten eleven twelve twenty thirty fifty hundred thousand half "
    "twice first second third next weekdays weekends working anytime monthly"
).split()
_SENTENCES = (
    "The {adjective} {noun} can {verb} the {noun} {small} the {noun}.",
    "We {verb} and {verb} every {adjective} {noun}.",
    "Please {verb} the {noun} before you {verb} it.",
    "If the {noun} is {adjective}, you should {verb} your {noun}.",
    "You do not need to {verb} a {noun}, because it is {adjective}.",
    "Our {noun} will {verb} {small} {number} {noun}s.",
    "There are {number} {adjective} {noun}s in the {noun}.",
    "They want to {verb} the {adjective} {noun}, but the {noun} is {adjective}.",
    "Where does the {noun} {verb} its {noun}?",
    "My {noun} has a {adjective} {noun} and a {adjective} {noun}.",
    "Yes, you can {verb} the {noun} {small} a {adjective} {noun}.",
    "No, we do not {verb} the {noun}.",
)


def sentence(draw: Draw) -> str:
    """A grammatical, senseless sentence."""
    kinds = {"adjective": _ADJECTIVES, "noun": _NOUNS, "verb": _VERBS, "small": _SMALL}
    text = draw.one(*_SENTENCES)
    for kind, listed in kinds.items():
        while "{" + kind + "}" in text:
            text = text.replace("{" + kind + "}", draw.word(listed), 1)
    return text.replace("{number}", str(draw.number(2, 500)))


def english(draw: Draw) -> tuple[str, str]:
    """Copying and light editing of English sentences and of unrelated words."""
    kind = draw.number(0, 6)
    if kind <= 1:
        text = " ".join(
            draw.word(draw.one(_NOUNS, _VERBS, _ADJECTIVES, _SMALL)) for _ in range(draw.number(3, 12))
        )
        return draw.one("Repeat: ", "Copy: ", "Say: ") + text, text
    text = sentence(draw)
    if kind <= 3:
        text += " " + sentence(draw) if draw.chance(0.4) else ""
        return draw.one("Repeat this sentence: ", "Copy: ", "Read aloud: ", "Write down: ") + text, text
    if kind == 4:
        return f"Correct the spelling: {text.lower().rstrip('.?')}", text
    if kind == 5:
        other = sentence(draw)
        first = draw.chance(0.5)
        which = "first" if first else "second"
        return f"1. {text}\n2. {other}\nRepeat the {which} sentence.", text if first else other
    chosen = text.rstrip(".?").split()
    index = draw.number(0, len(chosen) - 2)
    return f"{text}\nWhich word comes after '{chosen[index]}' for the first time?", chosen[
        chosen.index(chosen[index]) + 1
    ]
