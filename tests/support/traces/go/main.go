// Panics of Go, by the name that is given.
package main

import (
	"fmt"
	"os"
)

type failure struct{}

func (failure) Error() string { return "cannot score\nrow 3 is bad" }

func score(rows []int) int { return rows[5] }

func main() {
	switch os.Args[1] {
	case "index":
		score([]int{1})
	case "error":
		panic(failure{})
	case "nil_pointer":
		var row *int
		fmt.Println(*row)
	case "panicked_again":
		defer func() { panic(recover()) }()
		panic("first")
	case "deadlock":
		go func() { select {} }()
		select {}
	}
}
