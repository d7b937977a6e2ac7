"""Writes the sample data of the repository: a support FAQ
to fine-tune on, and a table of support tickets to ask about.

    python data/samples/make_samples.py

Velmora, a maker of electric bicycles, does not exist. Both files depend on nothing but this program.
"""

import argparse
import csv
import io
import json
import random
from datetime import datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
TICKETS = 500

FAQ = (
    (
        "Which electric bikes does Velmora make?",
        "We make three electric bikes: the City One, the Trail Two and the Cargo Max.",
    ),
    (
        "How far can I ride the City One on one charge?",
        "The City One rides up to 90 kilometres on one charge, or about 60 in cold weather.",
    ),
    (
        "How long does it take to charge the battery?",
        "A full charge takes four hours. After two hours the battery is at about 70 percent.",
    ),
    (
        "How much does the Cargo Max cost?",
        "The Cargo Max costs 4,290 euros, including tax, a charger and the front rack.",
    ),
    (
        "What is the price of the City One?",
        "The City One costs 2,490 euros. You can also pay in 24 monthly parts of 109 euros.",
    ),
    (
        "What does the Trail Two weigh?",
        "The Trail Two weighs 21.5 kilograms with the battery and 18.9 kilograms without it.",
    ),
    (
        "Which colours can I choose for the City One?",
        "The City One comes in forest green, sand and graphite.",
    ),
    (
        "How long is the warranty on the frame?",
        "Every Velmora frame has a warranty of ten years for the first owner.",
    ),
    (
        "How long is the warranty on the battery?",
        "The battery has a warranty of three years or 700 full charges, whichever comes first.",
    ),
    (
        "Can I return my bike?",
        "Yes. You have 30 days to return a bike, as long as you rode less than 50 kilometres.",
    ),
    (
        "Who pays for the return transport?",
        "We do. Our courier picks the bike up at your door and you pay nothing.",
    ),
    (
        "When do I get my money back after a return?",
        "We refund you within five working days after the bike has reached our workshop.",
    ),
    (
        "How long does delivery take?",
        "A bike in stock reaches you within six working days; built to order takes four weeks.",
    ),
    (
        "Do you deliver to Switzerland?",
        "Yes, we deliver to Switzerland. Customs fees of about 120 euros are paid at the door.",
    ),
    (
        "Do you ship outside Europe?",
        "Not yet. We ship to all countries of the European Union, Norway and Switzerland.",
    ),
    (
        "What does delivery cost?",
        "Delivery of a bike costs 59 euros. Orders above 3,000 euros are delivered free.",
    ),
    (
        "How can I track my order?",
        "Open your account, choose Orders and press Track. The courier updates the place every hour.",
    ),
    (
        "Can I change my delivery address?",
        "Yes, until the bike is packed. Open Orders, choose Edit address and save the new one.",
    ),
    (
        "How do I cancel an order?",
        "Open Orders and press Cancel. This works until the day on which we start to build your bike.",
    ),
    (
        "Is the bike assembled when it arrives?",
        "Almost. You only turn the handlebar, put in the pedals and tighten four screws.",
    ),
    (
        "Which tools do I need to assemble my bike?",
        "None of your own. The box contains a hex key, a pedal wrench and a small pump.",
    ),
    (
        "Where can I take a test ride?",
        "You can take a test ride in our stores in Hamburg, Lyon and Utrecht. Please book a time online.",
    ),
    (
        "When is the Hamburg store open?",
        "The Hamburg store is open from Tuesday to Saturday between 10 am and 7 pm.",
    ),
    ("When is the Lyon store open?", "The Lyon store is open from Monday to Friday between 9 am and 6 pm."),
    (
        "Does the Utrecht store have a workshop?",
        "Yes, three mechanics work in Utrecht. Small repairs are done while you wait.",
    ),
    (
        "How do I reset my password?",
        "Press Forgot password on the sign-in page. The link we send you is valid for 20 minutes.",
    ),
    (
        "How do I change my email address?",
        "Open Profile, choose Contact and enter the new address. We send a code to confirm it.",
    ),
    (
        "How can I delete my account?",
        "Write to privacy@velmora.example. We delete the account and all data within 14 days.",
    ),
    (
        "Do you sell my data?",
        "No. We never sell data. Rides stay on your phone unless you choose to share them.",
    ),
    (
        "Which phones work with the Velmora app?",
        "The app works on phones with Android 11 or iOS 16 and everything newer.",
    ),
    (
        "How do I connect the app to my bike?",
        "Switch on Bluetooth, hold the power button for three seconds and press Pair in the app.",
    ),
    (
        "The app does not find my bike. What can I do?",
        "Restart the bike, stay within two metres and close other apps that use Bluetooth.",
    ),
    (
        "How do I update the software of my bike?",
        "Connect the app, open My bike and press Update. Keep the battery above 30 percent.",
    ),
    (
        "Can I lock my bike with the app?",
        "Yes, the rear wheel lock of the City One and the Cargo Max can be closed in the app.",
    ),
    (
        "What should I do if my bike is stolen?",
        "Mark the bike as stolen in the app at once. We share its position with the police.",
    ),
    (
        "Do you offer theft insurance?",
        "Yes, theft insurance costs 8.90 euros per month and replaces the bike after 21 days.",
    ),
    (
        "How fast can the bikes go?",
        "The motor helps up to 25 kilometres per hour. Faster than that, you ride on your own power.",
    ),
    (
        "Do I need a licence to ride a Velmora bike?",
        "No licence is needed. By law our bikes are bicycles, not motorcycles.",
    ),
    (
        "Do I have to wear a helmet?",
        "It is not required in most countries, but we ask every rider to wear one.",
    ),
    (
        "What is the maximum load of the Cargo Max?",
        "The Cargo Max carries 200 kilograms, rider included, and 80 of them in the front box.",
    ),
    (
        "Can children ride in the Cargo Max?",
        "Yes, two children up to seven years fit into the front box. Both seats have belts.",
    ),
    (
        "Can I mount a child seat on the City One?",
        "Yes, rear seats up to 22 kilograms fit on the rack of the City One.",
    ),
    (
        "Which height do I need for the City One?",
        "The City One fits riders from 155 to 195 centimetres. The saddle moves without tools.",
    ),
    (
        "What sizes does the Trail Two have?",
        "The Trail Two comes in small, medium and large. Medium fits from 168 to 180 centimetres.",
    ),
    (
        "Is the battery removable?",
        "Yes, turn the key to the left and pull the battery out. It weighs 2.6 kilograms.",
    ),
    (
        "How should I store the battery in winter?",
        "Store it dry at 10 to 20 degrees with about half a charge, and check it every two months.",
    ),
    (
        "How much does a new battery cost?",
        "A new battery costs 549 euros. We take the old one back and recycle it for free.",
    ),
    (
        "Can I use a charger of another brand?",
        "No, please use only the Velmora charger. Others can damage the battery and end the warranty.",
    ),
    (
        "Can I ride in the rain?",
        "Yes, all bikes are rain proof. Just do not put the battery or the motor under water.",
    ),
    (
        "Can I clean the bike with a pressure washer?",
        "No, high pressure pushes water into the bearings. Use a soft brush and a bucket.",
    ),
    (
        "How often does my bike need a service?",
        "We advise a first service after 300 kilometres and then one every year.",
    ),
    (
        "What does a yearly service cost?",
        "The yearly service costs 95 euros. Parts that wear out are charged extra.",
    ),
    (
        "Do you come to my home for repairs?",
        "Yes, our service van visits 40 cities. A visit costs 35 euros on top of the repair.",
    ),
    (
        "Where can I buy spare parts?",
        "All spare parts are in our online shop under Service. Most of them ship on the same day.",
    ),
    (
        "The motor makes a strange noise. What now?",
        "Please stop riding, record the noise with your phone and send it to our service team.",
    ),
    (
        "My brakes squeak. Is that normal?",
        "New brakes may squeak for the first 30 kilometres. If it goes on, book a free check.",
    ),
    (
        "Which tyres fit the Trail Two?",
        "The Trail Two takes 29 inch tyres with a width of 2.2 to 2.5 inches.",
    ),
    (
        "What tyre pressure should I use?",
        "Use 3.5 bar for the City One, 2 bar for the Trail Two and 4 bar for the Cargo Max.",
    ),
    (
        "What does error code E07 mean?",
        "E07 means that the motor is too hot. Let it cool for 15 minutes in the shade.",
    ),
    (
        "What does error code E12 mean?",
        "E12 means that the speed sensor is dirty. Clean the sensor at the rear wheel.",
    ),
    (
        "How can I pay?",
        "You can pay by card, bank transfer, PayPal or in monthly parts with our partner bank.",
    ),
    (
        "Where do I find my invoice?",
        "Your invoice is in your account under Orders. We also send it by email after delivery.",
    ),
    (
        "Do you offer a student discount?",
        "Yes, students get eight percent off every bike. Upload your student card at checkout.",
    ),
    (
        "Can my company lease Velmora bikes?",
        "Yes, from three bikes on. Leasing starts at 79 euros per bike and month, service included.",
    ),
    (
        "Do you buy back old bikes?",
        "Yes, bring your old bike and we take up to 400 euros off the price of a new one.",
    ),
    (
        "Do you sell used bikes?",
        "Yes, checked used bikes with one year of warranty are sold in the Utrecht store.",
    ),
    (
        "Can I use a gift card online?",
        "Yes, enter the code of the gift card at checkout. The rest stays on the card for three years.",
    ),
    (
        "How do I reach your support team?",
        "Call us from Monday to Friday between 8 am and 6 pm, or use the chat on our website.",
    ),
    (
        "How fast do you answer emails?",
        "We answer emails within one working day, and most of them before the evening.",
    ),
    (
        "Where are the bikes built?",
        "Frames are welded in Portugal, and every bike is assembled in our factory in Bremen.",
    ),
    (
        "Is Velmora hiring?",
        "Yes, open jobs are listed at velmora.example/jobs. Mechanics are always welcome.",
    ),
    (
        "Do you plant trees for every bike?",
        "No, we put two percent of our profit into bike lanes in small towns instead.",
    ),
)

PRODUCTS = ("City One", "Trail Two", "Cargo Max", "Velmora app", "Battery")
CHANNELS = ("email", "chat", "phone", "web form")
PRIORITIES = ("low", "normal", "high", "urgent")
COLUMNS = (
    "ticket_id,created_at,channel,product,priority,question,answer,minutes_to_first_reply,satisfaction".split(
        ","
    )
)
# What customers write in front of the question; the answer stays the FAQ's.
OPENINGS = ("", "", "", "Hello, ", "Hi team, ", "Good morning. ", "Quick question: ", "Dear support, ")


def faq_text() -> str:
    """The FAQ as chat examples, one JSON object per line."""
    rows = (
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
        for question, answer in FAQ
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def tickets_text(count: int = TICKETS) -> str:
    """Tickets as CSV: most are answered; open ones lack answer,
    reply time and rating, some answered ones lack a rating."""
    rng = random.Random(20260)
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    created = datetime(2025, 1, 2, 8, 0)
    for number in range(1, count + 1):
        created += timedelta(minutes=rng.randint(20, 1900))
        writer.writerow(_ticket(rng, number, created))
    return file.getvalue()


def write_samples(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "support_faq.jsonl").write_text(faq_text(), encoding="utf-8")
    (folder / "support_tickets.csv").write_text(tickets_text(), encoding="utf-8")


def _ticket(rng: random.Random, number: int, created: datetime) -> dict[str, str | int]:
    question, answer = rng.choice(FAQ)
    priority = rng.choices(PRIORITIES, (3, 10, 4, 1))[0]
    typical_minutes = {"low": 600, "normal": 240, "high": 60, "urgent": 15}[priority]
    answered = rng.random() > 0.08
    minutes = max(1, round(rng.lognormvariate(0, 0.6) * typical_minutes))
    happy = 5 - min(4, round(minutes / 500 + rng.expovariate(1.2)))
    named = [product for product in PRODUCTS if product.lower() in question.lower()]
    return {
        "ticket_id": f"T-{number:05}",
        "created_at": created.isoformat(sep=" "),
        "channel": rng.choice(CHANNELS),
        "product": named[0] if named else rng.choice((*PRODUCTS, "")),
        "priority": priority,
        "question": rng.choice(OPENINGS) + question,
        "answer": answer if answered else "",
        "minutes_to_first_reply": minutes if answered else "",
        "satisfaction": happy if answered and rng.random() < 0.7 else "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the sample data of the repository.")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write; this folder unless given")
    write_samples(parser.parse_args().folder)


if __name__ == "__main__":
    main()
