package scenario

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits of a file. Nothing that people write comes near them.
const (
	maxFile  = 256 << 10 // bytes
	maxDepth = 16
	maxSteps = 1000
)

// Error says what is wrong with a scenario, and where.
type Error struct {
	File         string
	Line, Column int
	Message      string
	Excerpt      string // the lines around it, with a mark
}

// Error is the place, what is wrong, and the excerpt below.
func (e *Error) Error() string { return e.Summary() + "\n" + e.Excerpt }

// Summary is the place and what is wrong, in one line.
func (e *Error) Summary() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// source is a file that is being read.
type source struct {
	name string
	text string
}

// fault makes an Error of a place in the file.
func (s *source) fault(line, column int, format string, args ...any) error {
	return &Error{File: s.name, Line: line, Column: column, Message: fmt.Sprintf(format, args...), Excerpt: s.excerpt(line, column)}
}

// excerpt is a line with the two before it, and a mark below the column.
func (s *source) excerpt(line, column int) string {
	lines := strings.Split(s.text, "\n")
	var b strings.Builder
	for n := max(1, line-2); n <= min(line, len(lines)); n++ {
		text := strings.TrimRight(strings.ReplaceAll(lines[n-1], "\t", " "), "\r")
		fmt.Fprintf(&b, "%5d | %s\n", n, text)
	}
	fmt.Fprintf(&b, "      | %s^", strings.Repeat(" ", max(0, column-1)))
	return b.String()
}

// node is a part of the file: a scalar, a list or a mapping.
type node struct {
	line, column int
	text         string  // of a scalar
	null         bool    // nothing at all
	quoted       bool    // a scalar in quotes or a block, so always a text
	list         []*node // of a list
	isList       bool
	pairs        []pair // of a mapping
	isMap        bool
}

type pair struct {
	key   *node
	value *node
}

// tree parses YAML, as much of it as scenarios have: no anchors, aliases, tags or
// merge keys, and one document.
func (s *source) tree() (*node, error) {
	if len(s.text) > maxFile {
		return nil, s.fault(1, 1, "the file has %d bytes; %d are the most", len(s.text), maxFile)
	}
	file, err := parser.ParseBytes([]byte(s.text), 0)
	if err != nil {
		return nil, s.syntax(err)
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil {
			bodies = append(bodies, doc.Body)
		}
	}
	switch {
	case len(bodies) == 0:
		return nil, s.fault(1, 1, "the file is empty: a scenario begins with name, title and steps")
	case len(bodies) > 1:
		at := place(bodies[1])
		return nil, s.fault(at.Line, at.Column, "a second document: one file is one scenario")
	}
	return s.convert(bodies[0], 0)
}

// syntax makes an Error of the parser's.
func (s *source) syntax(err error) error {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil && e.GetToken().Position != nil {
		at := e.GetToken().Position
		return s.fault(at.Line, at.Column, "not YAML: %s", firstLine(e.GetMessage()))
	}
	return s.fault(1, 1, "not YAML: %s", firstLine(err.Error()))
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// place is where a node begins.
func place(n ast.Node) token.Position {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return place(m.Values[0].Key) // its own token is the first colon
	}
	if v, ok := n.(*ast.MappingValueNode); ok {
		return place(v.Key)
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return *t.Position
	}
	return token.Position{Line: 1, Column: 1}
}

// convert makes a node of the parser's.
func (s *source) convert(from ast.Node, depth int) (*node, error) {
	at := place(from)
	n := &node{line: at.Line, column: at.Column}
	if depth > maxDepth {
		return nil, s.fault(n.line, n.column, "too deep: %d levels are the most", maxDepth)
	}
	switch v := from.(type) {
	case *ast.NullNode:
		n.null = true
	case *ast.StringNode:
		n.text, n.quoted = v.Value, v.Token.Type == token.SingleQuoteType || v.Token.Type == token.DoubleQuoteType
	case *ast.LiteralNode:
		n.text, n.quoted = v.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.text = from.GetToken().Value
	case *ast.SequenceNode:
		n.isList = true
		for _, e := range v.Values {
			c, err := s.convert(e, depth+1)
			if err != nil {
				return nil, err
			}
			n.list = append(n.list, c)
		}
	case *ast.MappingNode:
		n.isMap = true
		return n, s.pairs(n, v.Values, depth)
	case *ast.MappingValueNode:
		n.isMap = true
		return n, s.pairs(n, []*ast.MappingValueNode{v}, depth)
	default:
		return nil, s.fault(n.line, n.column, "scenarios have no anchors, aliases, tags or merge keys: write it out")
	}
	return n, nil
}

// pairs converts a mapping's keys and values.
func (s *source) pairs(n *node, values []*ast.MappingValueNode, depth int) error {
	seen := map[string]bool{}
	for _, v := range values {
		k, err := s.convert(v.Key, depth+1)
		if err != nil {
			return err
		}
		if k.isMap || k.isList || k.null {
			return s.fault(k.line, k.column, "a key is a word")
		}
		if seen[k.text] {
			return s.fault(k.line, k.column, "%q is there twice", k.text)
		}
		seen[k.text] = true
		value, err := s.convert(v.Value, depth+1)
		if err != nil {
			return err
		}
		n.pairs = append(n.pairs, pair{k, value})
	}
	return nil
}
