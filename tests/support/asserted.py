"""What of etcdorm is public, and of what of it the files in tests/typing make statements."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

MODULES = ("etcdorm", "etcdorm.v2", "etcdorm.testing")


def public() -> dict[str, object]:
    """All that the public modules offer, by name."""
    modules = [importlib.import_module(name) for name in MODULES]
    return {name: getattr(module, name) for module in modules for name in module.__all__}


# -- what there is to assert ----------------------------------------------------------------------------------------


def members(kind: type) -> set[str]:
    """The public methods and attributes of a class; those of a base are asserted there, if it is public too."""
    offered = set(public().values())
    mine = [
        each for each in kind.__mro__ if each.__module__.startswith("etcdorm") and (each is kind or each not in offered)
    ]
    names = {name for each in mine for name in (*vars(each), *inspect.get_annotations(each), *set_in_init(each))}
    if is_dataclass(kind):
        names |= {field.name for field in fields(kind)}
    return {name for name in names if not name.startswith("_") and name != "model_config"}


def parameters(name: str, offered: object) -> set[tuple[str, str]]:
    """The parameters that a public function, or the methods of a class, take by name alone, each with whose it is."""
    functions = {name: offered}
    if isinstance(offered, type):
        functions = {member: inspect.getattr_static(offered, member, None) for member in members(offered)}
    found = set()
    for function, value in functions.items():
        unbound: object = getattr(value, "__func__", value)  # of a class method
        if inspect.isfunction(unbound):
            given = inspect.signature(unbound).parameters.values()
            found |= {(function, each.name) for each in given if each.kind is each.KEYWORD_ONLY}
    return found


def set_in_init(kind: type) -> Iterator[str]:
    init = vars(kind).get("__init__")
    if not inspect.isfunction(init) or is_dataclass(kind):
        return
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(init)))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


# -- what is asserted -----------------------------------------------------------------------------------------------


class Reading(ast.NodeVisitor):
    """The names that a file of tests/typing uses, and the members of classes that it makes statements about.

    ``session.load`` counts for Session where ``session`` is a parameter that is annotated so, and for its bases that
    the file defines; ``Node.key`` counts for what Node is a class of. It must be within an ``assert_type``, what a
    ``with`` or ``for`` is about, or assigned to.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.names: set[str] = set()
        self.members: set[tuple[str, str]] = set()
        self.passed: set[tuple[str, str]] = set()
        """The names of what is called, and of what it is given by name."""
        self._bases = {
            node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        }
        self._parameters: dict[str, set[str]] = {}
        self._stated = False
        self.visit(tree)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outer = self._parameters
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self._parameters = {**outer, **{each.arg: names_in(each.annotation) for each in given}}
        self.generic_visit(node)
        self._parameters = outer

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        self.passed |= {(called, given.arg) for given in node.keywords if given.arg is not None}
        if isinstance(node.func, ast.Name) and node.func.id == "assert_type":
            self._state(*node.args)
        else:
            self.generic_visit(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        self._state(node.context_expr)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self._state(node.iter)
        for each in node.body:
            self.visit(each)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if self._stated or isinstance(node.ctx, ast.Store):
            self._note(node.value, node.attr)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self._stated and isinstance(node.slice, ast.Constant):
            self._note(node.value, str(node.slice.value))  # of a TypedDict
        self.generic_visit(node)

    def _state(self, *nodes: ast.AST) -> None:
        outer, self._stated = self._stated, True
        for node in nodes:
            self.visit(node)
        self._stated = outer

    def _note(self, of: ast.expr, member: str) -> None:
        if isinstance(of, ast.Name):
            todo = list(self._parameters.get(of.id, {of.id}))
            while todo:
                kind = todo.pop()
                self.members.add((kind, member))
                todo += self._bases.get(kind, [])


def names_in(annotation: ast.expr | None) -> set[str]:
    return set() if annotation is None else {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
