package config

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decode fills what c points to from the merged tree: defaults first, then what is there,
// strictly. An unknown key, a value of another type and a value without its
// unit are mistakes; nothing is converted in silence. An explicit null is the
// same as an absent key.
//
// It stands in for koanf's Unmarshal because that decodes 1.5 to 1, sets
// defaults only outside lists and maps, and names paths in another notation.
func decode(p *problems, tree, c any) {
	decodeValue(p, "", tree, reflect.ValueOf(c).Elem())
}

// decodeValue stores raw into the settable value v, or reports why not.
func decodeValue(p *problems, path string, raw any, v reflect.Value) {
	switch v.Interface().(type) {
	case time.Duration:
		decodeDuration(p, path, raw, v)
		return
	case Bytes:
		decodeBytes(p, path, raw, v)
		return
	case Secret: // its text stays out of the message
		if text, ok := raw.(string); ok {
			v.SetString(text)
		} else {
			p.fail(path, "is not text, put it between quotes")
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		decodeStruct(p, path, raw, v)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		decodeValue(p, path, raw, v.Elem())
	case reflect.Map:
		decodeMap(p, path, raw, v)
	case reflect.Slice:
		decodeList(p, path, raw, v)
	case reflect.String:
		decodeString(p, path, raw, v)
	case reflect.Bool:
		if b, ok := raw.(bool); ok {
			v.SetBool(b)
		} else {
			p.fail(path, "%s is not a switch, write true or false", describe(raw))
		}
	case reflect.Int:
		if n, ok := wholeNumber(raw); ok {
			v.SetInt(n)
		} else {
			p.fail(path, "%s is not a whole number, write digits without quotes", describe(raw))
		}
	case reflect.Float64:
		decodeNumber(p, path, raw, v)
	default:
		// Only a new field in the structs can lead here, and every test does.
		panic("config: no rule to decode " + v.Type().String())
	}
}

func decodeStruct(p *problems, path string, raw any, v reflect.Value) {
	if d, ok := v.Addr().Interface().(defaulter); ok {
		d.setDefaults()
	}
	tree, ok := raw.(map[string]any)
	if !ok {
		p.fail(path, "%s is not a mapping, write keys and values below it", describe(raw))
		return
	}
	fields := keys(v.Type())
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		if p.full() {
			return
		}
		keyPath := joinKey(path, key)
		i, known := fields[key]
		if !known {
			p.add(keyPath, "%s", unknownKey(key, v.Type()))
			continue
		}
		if tree[key] != nil {
			p.given[keyPath] = true
			decodeValue(p, keyPath, tree[key], v.Field(i))
		}
	}
}

func decodeMap(p *problems, path string, raw any, v reflect.Value) {
	tree, ok := raw.(map[string]any)
	if !ok {
		p.fail(path, "%s is not a mapping, write names and what belongs to them", describe(raw))
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(tree)))
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		item := tree[name]
		if item == nil {
			if v.Type().Elem().Kind() != reflect.Struct {
				continue // no value at all
			}
			item = map[string]any{}
		}
		element := reflect.New(v.Type().Elem()).Elem()
		decodeValue(p, joinKey(path, name), item, element)
		v.SetMapIndex(reflect.ValueOf(name), element)
	}
}

func decodeList(p *problems, path string, raw any, v reflect.Value) {
	list, ok := raw.([]any)
	if !ok {
		p.fail(path, "%s is not a list, write [a, b] or lines that begin with a dash", describe(raw))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
	for i, item := range list {
		decodeValue(p, joinIndex(path, i), item, v.Index(i))
	}
}

func decodeString(p *problems, path string, raw any, v reflect.Value) {
	text, ok := raw.(string)
	switch _, number := wholeNumber(raw); {
	case ok:
		v.SetString(text)
	case number:
		p.fail(path, "%s is a number, write it as text: %[1]q", numberText(raw))
	default:
		p.fail(path, "%s is not text, put it between quotes", describe(raw))
	}
}

// decodeNumber takes a number with a fraction or without one; from a variable,
// which has no type, as text.
func decodeNumber(p *problems, path string, raw any, v reflect.Value) {
	text := numberText(raw)
	if _, variable := p.sources[path]; !isNumber(raw) && !variable {
		p.fail(path, "%s is not a number, write digits without quotes", describe(raw))
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		p.fail(path, "%q is not a number, write it as 0.5", text)
		return
	}
	v.SetFloat(f)
}

func decodeDuration(p *problems, path string, raw any, v reflect.Value) {
	text, isText := raw.(string)
	if d, ok := raw.(time.Duration); ok { // from a flag
		v.SetInt(int64(d))
		return
	}
	if isNumber(raw) {
		text = numberText(raw)
	} else if !isText {
		p.fail(path, "%s is not a duration, write a number and its unit, such as 500ms, 2s, 10m or 1h", describe(raw))
		return
	}
	// ParseDuration takes 0 alone without a unit, and so does a reader.
	d, err := time.ParseDuration(text)
	if err == nil {
		v.SetInt(int64(d))
		return
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil && !strings.ContainsAny(text, "nNxXpPeE_") {
		p.fail(path, "%s has no unit, write %[1]ss or %[1]sms", text)
		return
	}
	p.fail(path, "%q is not a duration, write a number and its unit, such as 500ms, 2s, 10m or 1h", text)
}

func decodeBytes(p *problems, path string, raw any, v reflect.Value) {
	if n, ok := wholeNumber(raw); ok {
		v.SetInt(n)
		return
	}
	text, ok := raw.(string)
	if !ok {
		p.fail(path, "%s is not a size, write a whole number and B, KiB, MiB or GiB, such as 16KiB", describe(raw))
		return
	}
	b, err := ParseBytes(text)
	if err != nil {
		p.fail(path, "%v", err)
		return
	}
	v.SetInt(int64(b))
}

func isNumber(raw any) bool {
	switch raw.(type) {
	case int, int64, uint64, float64:
		return true
	}
	return false
}

// numberText is a number as its writer would write it: JSON's floats without
// an exponent.
func numberText(raw any) string {
	if f, ok := raw.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(raw)
}

// wholeNumber reads the number types of the three formats' parsers. JSON has
// floats only.
func wholeNumber(raw any) (int64, bool) {
	switch n := raw.(type) {
	case int:
		return int64(n), true
	case int64:
		return n, true
	case float64:
		// Beyond 2^53 a float no longer says which whole number was written.
		return int64(n), n == math.Trunc(n) && math.Abs(n) <= 1<<53
	}
	return 0, false
}

// describe names a raw value in a message.
func describe(raw any) string {
	switch value := raw.(type) {
	case nil:
		return "an empty value"
	case string:
		return fmt.Sprintf("the text %q", value)
	case bool:
		return fmt.Sprintf("the switch %v", value)
	case map[string]any, map[any]any:
		return "a mapping"
	case []any:
		return "a list"
	}
	if isNumber(raw) {
		return "the number " + numberText(raw)
	}
	return fmt.Sprintf("the date or time %v", raw)
}
