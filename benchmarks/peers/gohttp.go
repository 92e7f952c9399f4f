// Go's net/http. gohttp PORT
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func answer(writer http.ResponseWriter, request *http.Request) {
	var body []byte
	if request.Method == http.MethodPost {
		sent, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		body = append([]byte("echo:"), sent...)
	} else {
		body = []byte("path:" + request.URL.Path)
	}
	writer.Header().Set("Content-Type", "text/plain")
	// A long answer would be chunked.
	writer.Header().Set("Content-Length", strconv.Itoa(len(body)))
	writer.Write(body)
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(answer)))
}
