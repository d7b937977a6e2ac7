"""Measures a starter model: exact answers per task, on words it was trained with and on words it never saw.

    python -m core.training.starter.evaluate --model core/training/starter/weights

Prints the table of the model card. Greedy decoding; an answer counts only if it is right to the letter.
Questions with more than one right answer are left out, so this says nothing about how well the model chats.
"""

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from core import hardware
from core.training.starter.sql import SqlColumn, link
from core.training.starter.support import support_rule
from core.training.starter.text import MIXTURE
from core.training.starter.words import Draw

BATCH = 40
MAX_NEW_TOKENS = 96
# small_talk and most of support have several right answers; of support only the rules are asked.
TASKS: dict[str, Callable[[Draw], tuple[str, str]]] = {
    **{name: function for name, (_, function) in MIXTURE.items() if name not in ("small_talk", "support")},
    "support_rule": support_rule,
}

_ORDERS = (
    SqlColumn("id", "integer"),
    SqlColumn("customer_name", "text", ("Acme", "Zenith")),
    SqlColumn("country", "text", ("Germany", "France", "Spain")),
    SqlColumn("total_amount", "double"),
    SqlColumn("quantity", "integer"),
    SqlColumn("order_date", "date"),
)
_EMPLOYEES = (
    SqlColumn("name", "text", ("Alice", "Bob")),
    SqlColumn("department", "text", ("Sales", "Engineering", "HR")),
    SqlColumn("salary", "double"),
    SqlColumn("age", "integer"),
    SqlColumn("hire_date", "date"),
)
# Written by hand, in words that the program does not use: (table, columns, question, SQL).
WRITTEN_QUESTIONS = (
    ("orders", _ORDERS, "How many orders did we get?", "SELECT COUNT(*) FROM orders;"),
    (
        "orders",
        _ORDERS,
        "how many orders came from Germany?",
        "SELECT COUNT(*) FROM orders WHERE country = 'Germany';",
    ),
    (
        "orders",
        _ORDERS,
        "What was the total amount in France",
        "SELECT SUM(total_amount) FROM orders WHERE country = 'France';",
    ),
    (
        "orders",
        _ORDERS,
        "average total amount per country",
        "SELECT country, AVG(total_amount) FROM orders GROUP BY country;",
    ),
    (
        "orders",
        _ORDERS,
        "which country has the highest average quantity?",
        "SELECT country, AVG(quantity) FROM orders GROUP BY country ORDER BY AVG(quantity) DESC LIMIT 1;",
    ),
    ("orders", _ORDERS, "list orders with a quantity above 10", "SELECT * FROM orders WHERE quantity > 10;"),
    (
        "orders",
        _ORDERS,
        "number of orders per month",
        "SELECT DATE_TRUNC('month', order_date), COUNT(*) FROM orders GROUP BY 1;",
    ),
    ("orders", _ORDERS, "orders in 2023", "SELECT * FROM orders WHERE YEAR(order_date) = 2023;"),
    ("orders", _ORDERS, "count orders by country", "SELECT country, COUNT(*) FROM orders GROUP BY country;"),
    ("orders", _ORDERS, "what is the biggest total amount", "SELECT MAX(total_amount) FROM orders;"),
    (
        "employees",
        _EMPLOYEES,
        "what is the mean salary in Engineering?",
        "SELECT AVG(salary) FROM employees WHERE department = 'Engineering';",
    ),
    (
        "employees",
        _EMPLOYEES,
        "how many people work in Sales",
        "SELECT COUNT(*) FROM employees WHERE department = 'Sales';",
    ),
    (
        "employees",
        _EMPLOYEES,
        "names of employees with age over 50",
        "SELECT name FROM employees WHERE age > 50;",
    ),
    (
        "employees",
        _EMPLOYEES,
        "average age by department",
        "SELECT department, AVG(age) FROM employees GROUP BY department;",
    ),
    (
        "employees",
        _EMPLOYEES,
        "lowest salary in HR",
        "SELECT MIN(salary) FROM employees WHERE department = 'HR';",
    ),
    ("employees", _EMPLOYEES, "list all departments", "SELECT DISTINCT department FROM employees;"),
    (
        "employees",
        _EMPLOYEES,
        "employees hired in 2020",
        "SELECT * FROM employees WHERE YEAR(hire_date) = 2020;",
    ),
    (
        "employees",
        _EMPLOYEES,
        "total salary for each department",
        "SELECT department, SUM(salary) FROM employees GROUP BY department;",
    ),
    (
        "employees",
        _EMPLOYEES,
        "who earns the highest salary?",
        "SELECT name, salary FROM employees ORDER BY salary DESC LIMIT 1;",
    ),
    (
        "employees",
        _EMPLOYEES,
        "top 3 name by salary",
        "SELECT name, salary FROM employees ORDER BY salary DESC LIMIT 3;",
    ),
)


class Answerer:
    """A model folder with its tokenizer, answering batches of questions greedily."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def answer(self, questions: list[str]) -> list[str]:
        return [
            text for i in range(0, len(questions), BATCH) for text in self._answer(questions[i : i + BATCH])
        ]

    def _answer(self, questions: list[str]) -> list[str]:
        chats = [[{"role": "user", "content": question}] for question in questions]
        inputs = self.tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            output = self.model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        start = inputs["input_ids"].shape[1]
        return [self.tokenizer.decode(row[start:], skip_special_tokens=True) for row in output]


def exact_share(answerer: Answerer, task: str, count: int, *, held_out: bool) -> float:
    """Share of exact answers to `count` fresh questions of a task. The seed is not one that training uses."""
    draw = Draw(random.Random(f"evaluation {task}"), held_out)
    pairs: list[tuple[str, str]] = []
    while len(pairs) < count:
        question, answer = TASKS[task](draw)
        if not question.startswith("Write one sentence"):  # any name is a right answer there
            pairs.append((question, answer))
    got = answerer.answer([question for question, _ in pairs])
    return sum(text == answer for text, (_, answer) in zip(got, pairs, strict=True)) / count


def written_sql_share(answerer: Answerer) -> float:
    """Share of the hand-written questions whose restored SQL is exactly the expected one."""
    linked = [link(question, table, columns) for table, columns, question, _ in WRITTEN_QUESTIONS]
    got = answerer.answer([item.prompt for item in linked])
    right = [
        item.restore(sql) == entry[3] for item, sql, entry in zip(linked, got, WRITTEN_QUESTIONS, strict=True)
    ]
    return sum(right) / len(right)


def table(answerer: Answerer, count: int) -> str:
    """The table of the model card, in Markdown."""
    lines = ["| task | words of the training | words never trained |", "|---|---|---|"]
    for task in TASKS:
        known = exact_share(answerer, task, count, held_out=False)
        unseen = f"{exact_share(answerer, task, count, held_out=True):.0%}" if task != "knowledge" else "-"
        lines.append(f"| {task} | {known:.0%} | {unseen} |")
    lines.append(
        f"| sql, {len(WRITTEN_QUESTIONS)} questions written by hand | | {written_sql_share(answerer):.0%} |"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a starter model: exact answers per task.")
    parser.add_argument("--model", type=Path, default=Path(__file__).parent / "weights", help="model folder")
    parser.add_argument("--count", type=int, default=100, help="questions per task")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--ask", nargs="*", help="print the answers to these questions instead of the table")
    arguments = parser.parse_args()
    hardware.set_up_torch(threads=arguments.threads)
    answerer = Answerer(arguments.model)
    if arguments.ask:
        for question, answer in zip(arguments.ask, answerer.answer(arguments.ask), strict=True):
            print(f"> {question}\n{answer}\n")
        return
    print(table(answerer, arguments.count))


if __name__ == "__main__":
    main()
