package tenancy

import (
	"reflect"
	"time"
)

// Size is about how many bytes of memory an object takes. It counts what is in memory and not what is sent: a list of a hundred
// thousand empty objects is small as text.
func Size(object any) int64 {
	v := reflect.ValueOf(object)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return 0
	}
	return int64(v.Type().Elem().Size()) + beyond(v.Elem())
}

var timeType = reflect.TypeFor[time.Time]()

// beyond counts what a value refers to.
func beyond(v reflect.Value) (size int64) {
	switch v.Kind() {
	case reflect.String:
		return int64(v.Len())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			size = int64(v.Elem().Type().Size()) + beyond(v.Elem())
		}
	case reflect.Struct:
		if v.Type() == timeType { // which refers to a zone that all share
			return 0
		}
		for i := range v.NumField() {
			size += beyond(v.Field(i))
		}
	case reflect.Slice:
		size = int64(v.Cap()) * int64(v.Type().Elem().Size())
		for i := range v.Len() {
			size += beyond(v.Index(i))
		}
	case reflect.Map:
		const overhead = 16
		size = int64(v.Len()) * (int64(v.Type().Key().Size()+v.Type().Elem().Size()) + overhead)
		for entries := v.MapRange(); entries.Next(); {
			size += beyond(entries.Key()) + beyond(entries.Value())
		}
	}
	return size
}
